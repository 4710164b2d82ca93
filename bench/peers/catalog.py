"""The peers and the ways each is used: as its documentation begins, and at its best."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """One way of using a peer. `each`: every call has an awaitable of its own."""

    name: str
    does: str
    each: bool = False
    best: bool = False


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer: its adapter module, the distribution its version is read from, its ways."""

    name: str
    module: str
    distribution: str | None
    ways: tuple[Way, ...]
    heavy: bool = True

    def way(self, name: str) -> Way:
        """Return the way of this name."""
        return next(way for way in self.ways if way.name == name)


OURS = "asyncfabric"

_CATALOGUE = (
    Peer(
        OURS,
        "asyncfabric_local",
        "asyncfabric",
        (
            Way("submit", "[fabric.submit(f, x) for x in xs], asyncio.gather", each=True),
            Way("as_completed", "async for call in af.as_completed(fabric.map(f, xs))", each=True),
            Way("map", "await fabric.map(f, xs)"),
            Way("submit-read", "a Fabric with a file:// store; user code reads 1 KiB of it"),
            Way("import", "python -c 'import asyncfabric'"),
            Way("import-runtime", "python -c 'import asyncfabric_runtime'"),
            Way("runtime-read", "import asyncfabric_runtime, open a file:// store, read 1 KiB"),
        ),
        heavy=False,
    ),
    Peer(
        "ProcessPoolExecutor",
        "process_pool",
        None,
        (
            Way("submit", "[loop.run_in_executor(pool, f, x) for x in xs], gather", each=True),
            Way("blocking", "pool.submit(f, x).result(), no event loop involved"),
            Way("map", "pool.map(f, xs), chunksize=1"),
            Way("map-chunked", "pool.map(f, xs, chunksize=1000)", best=True),
            Way("spawn", "run_in_executor, mp_context=spawn", each=True),
        ),
        heavy=False,
    ),
    Peer(
        "mp.Pool",
        "mp_pool",
        None,
        (
            Way("imap", "pool.imap(f, xs), chunksize=1"),
            Way("map", "pool.map(f, xs), default chunks (an eighth of the calls)", best=True),
            Way("apply_async", "apply_async with callbacks that set asyncio Futures", each=True),
        ),
        heavy=False,
    ),
    Peer(
        "aiomultiprocess",
        "aiomultiprocess_pool",
        "aiomultiprocess",
        (
            Way("apply", "[pool.apply(f, (x,)) for x in xs], gather", each=True),
            Way("map", "await pool.map(f, xs)"),
            Way("map-tuned", "pool.map, queuecount=2, childconcurrency=128", best=True),
        ),
    ),
    Peer(
        "anyio.to_process",
        "anyio_process",
        "anyio",
        (Way("run_sync", "[to_process.run_sync(f, x, limiter=2) for x in xs], gather", each=True),),
    ),
    Peer(
        "loky",
        "loky_executor",
        "loky",
        (
            Way("submit", "[loop.run_in_executor(pool, f, x) for x in xs], gather", each=True),
            Way("map-chunked", "executor.map(f, xs, chunksize=1000)", best=True),
        ),
    ),
    Peer(
        "joblib",
        "joblib_parallel",
        "joblib",
        (
            Way("parallel", "Parallel(n_jobs=2)(delayed(f)(x) for x in xs), batch_size=auto"),
            Way("batched", "the same, batch_size=1000, pre_dispatch=all", best=True),
            Way("generator", "the same as parallel, return_as=generator"),
        ),
    ),
    Peer(
        "ray",
        "ray_tasks",
        "ray",
        (
            Way("await", "[f.remote(x) for x in xs], asyncio.gather", each=True),
            Way("get", "ray.get([f.remote(x) for x in xs])", best=True),
        ),
    ),
    Peer(
        "dask",
        "dask_client",
        "distributed",
        (
            Way("submit", "[client.submit(f, x, pure=False) for x in xs], gather", each=True),
            Way("map", "client.gather(client.map(f, xs, pure=False))", best=True),
        ),
    ),
    Peer(
        "lithops",
        "lithops_localhost",
        "lithops",
        (
            Way("map", "executor.map(f, xs), get_result(), localhost defaults"),
            Way(
                "map-tuned",
                "localhost version 1 (one runner a job), 2 workers, polling every 10 ms",
                best=True,
            ),
        ),
    ),
    Peer(
        "boto3",
        "",  # measured by a script of its own, not as a pool
        "boto3",
        (Way("client", "import boto3, boto3.client('s3'); no request is made"),),
    ),
)

PEERS = {peer.name: peer for peer in _CATALOGUE}
