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
            Way(
                "lambda-map",
                "await fabric.map(f, xs, chunksize=1) on lambda:// and s3://: the whole path, one "
                "call an invocation",
            ),
            Way("transport", "the thin transport alone, by callbacks: no Fabric, no results"),
            Way("hedge", "fabric.map on the simulated cloud, hedge=Hedge(): the default"),
            Way(
                "heartbeats", "the same; each call reports its progress at every tenth of its work"
            ),
            Way("no-hedge", "the same with hedge=None and no reports"),
            Way("local-hedge", "await fabric.map(f, xs) with hedge=Hedge(): the default"),
            Way("local-no-hedge", "the same with hedge=None"),
            Way("simulated-map", "fabric.map on the simulated cloud: driver and simulation"),
            Way("decisions", "the state machines alone, told of launches and answers in a loop"),
            Way(
                "parameter-server",
                "ps.blocking.stream(every=1): pull and push of what a batch touches, in workers",
            ),
            Way("parameter-server-4", "the same with every=4: four updates travel as one push"),
            Way("store", "store.put_many, store.get_many of an s3:// store"),
            Way("pairs", "bsp.shuffle, combine=operator.add; the mapper yields (word, 1)"),
            Way("counter", "the same; the mapper returns a Counter, made line by line"),
            Way("whole", "the same; Counter(findall(chunk.read().lower()))", best=True),
            Way("sort", "await bsp.sort(fabric, source, destination, memory=...)"),
            Way("simulated-stages", "bsp on the simulated cloud: planning, requests, transfers"),
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
            Way("bag", "read_text(...).map(words).flatten().frequencies(), processes"),
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
            Way("lambda-map", "the same two calls on the aws_lambda backend and aws_s3 storage"),
            Way(
                "lambda-map-tuned",
                "the same, looking into its bucket every 20 ms instead of every 2 s",
                best=True,
            ),
            Way("storage", "Storage().put_object, get_object from 64 threads"),
        ),
    ),
    Peer(
        "boto3",
        "",  # no pool: measured by scripts, and in the cloud tables
        "boto3",
        (
            Way("client", "import boto3, boto3.client('s3'); no request is made"),
            Way("invoke-threads", "client.invoke from 64 threads, bare: no function, no results"),
            Way("objects", "client.put_object, get_object from 64 threads"),
        ),
    ),
    Peer(
        "aiobotocore",
        "",  # this and those below only in the cloud tables
        "aiobotocore",
        (
            Way("invoke", "await client.invoke(...), bare; defaults but for the pool's size"),
            Way(
                "invoke-tuned",
                "the same without validation, checksums and retries, connections kept",
                best=True,
            ),
            Way("objects", "await client.put_object(...), get_object; defaults but for the pool"),
            Way("objects-tuned", "the same without validation, checksums and retries", best=True),
        ),
        heavy=False,
    ),
    Peer(
        "Spark",
        "",  # this and the next only by their rules, on the simulated cloud
        None,
        (
            Way("speculation-3", "a copy at 1.5 x the median once 75% have ended"),
            Way("speculation-4", "a copy at 3 x the median once 90% have ended"),
        ),
        heavy=False,
    ),
    Peer(
        "cubed",
        "",
        None,
        (Way("backups", "a copy at 3 x the median once half of those started have ended"),),
        heavy=False,
    ),
    Peer(
        "PySpark",
        "",  # this and those below only in the tables of two stages
        "pyspark",
        (
            Way("rdd", "textFile(...).flatMap(words).map(one).reduceByKey(operator.add)"),
            Way("rdd-counter", "the same by mapPartitions: a Counter of each", best=True),
            Way("dataframe", "split, explode, groupBy, count: no Python function", best=True),
            Way("dataframe-sort", "read.text(...).orderBy(key).write.text(...)", best=True),
        ),
    ),
    Peer(
        "polars",
        "",
        "polars",
        (Way("lazy", "scan_lines, extract_all, explode, group_by, streaming", best=True),),
        heavy=False,
    ),
    Peer(
        "DuckDB",
        "",
        "duckdb",
        (
            Way("count", "SELECT word, count(*) ... unnest(string_split_regex(...))", best=True),
            Way("copy", "COPY (SELECT ... ORDER BY key) TO ...", best=True),
        ),
        heavy=False,
    ),
    Peer(
        "GNU sort",
        "",
        None,
        (
            Way("key", "LC_ALL=C sort --stable --key=1.1,1.10 --parallel=2", best=True),
            Way("line", "LC_ALL=C sort --parallel=2: whole lines"),
        ),
        heavy=False,
    ),
    Peer(
        "aiohttp",
        "",
        "aiohttp",
        (Way("post", "session.post to the same address, unsigned: less than an Invoke"),),
        heavy=False,
    ),
    Peer(
        "redis-py",
        "",
        "redis",
        (
            Way(
                "get-set",
                "client.get and client.set of the whole model, in the same workers; defaults, with "
                "hiredis",
            ),
            Way(
                "get-set-tuned",
                "the same, SET and the next GET in one pipeline, read a megabyte at a time",
                best=True,
            ),
            Way("get-set-4", "the same, GET and SET for four updates at a time", best=True),
            Way("watch-set", "WATCH, GET, MULTI, SET, EXEC: nothing is lost, conflicts repeat"),
        ),
        heavy=False,
    ),
    Peer(
        "scikit-learn",
        "",
        "scikit-learn",
        (Way("partial_fit", "SGDClassifier.partial_fit, an epoch a call, in one process"),),
    ),
    Peer(
        "obstore",
        "",
        "obstore",
        (Way("objects", "store.put_async, get_async: what asyncfabric's store stands on"),),
        heavy=False,
    ),
)

PEERS = {peer.name: peer for peer in _CATALOGUE}
