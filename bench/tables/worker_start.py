"""worker-start: from nothing to the first result, to the first object read, and import times."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.goals import LimitGoal, RatioGoal, Side
from bench.model import Cell
from bench.peers import OURS, PEERS, load_adapter
from bench.peers.session import require
from bench.scripts import measure_script
from bench.tables.base import Metric, Table, same_work
from bench.work import cpu_since_start

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "worker-start"
FIRST_RESULT = "start to first result"
FIRST_READ = "start to first object read"
SCRIPT = "process of its own"
_KEY = "bench/object"
_OBJECT = bytes(1024)
_READ = f"""
import asyncio, asyncfabric_runtime
from asyncfabric_storage import open_store
async def read(store):
    assert len(await open_store(store).get({_KEY!r})) == {len(_OBJECT)}
asyncio.run(read({{store!r}}))
"""
_CLIENT = (
    "import boto3\n"
    "boto3.client('s3', region_name='eu-west-1', aws_access_key_id='a', aws_secret_access_key='b')"
)
_SCRIPTS = {
    (OURS, "import"): "import asyncfabric",
    (OURS, "import-runtime"): "import asyncfabric_runtime",
    (OURS, "runtime-read"): _READ,
    ("boto3", "client"): _CLIENT,
}
_STARTED = {
    OURS: "submit",
    "ProcessPoolExecutor": "spawn",
    "mp.Pool": "imap",
    "aiomultiprocess": "map",
    "anyio.to_process": "run_sync",
    "loky": "submit",
    "joblib": "parallel",
    "ray": "await",
    "dask": "submit",
    "lithops": "map-tuned",
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return a start of every peer, our read of an object, and the scripts."""
    cell = partial(Cell, table=NAME, n=1, loop=plan.loop)
    found = [cell(peer=peer, way=way, work=FIRST_RESULT) for peer, way in _STARTED.items()]
    found.append(cell(peer="ProcessPoolExecutor", way="submit", work=FIRST_RESULT))
    found.append(cell(peer=OURS, way="submit-read", work=FIRST_READ))
    found += [cell(peer=peer, way=way, work=SCRIPT) for peer, way in _SCRIPTS]
    return [one for one in found if not (plan.smoke and PEERS[one.peer].heavy)]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Measure one start; scripts several times within the repetition."""
    if cell.work == SCRIPT:
        return await _script(cell)
    if cell.work == FIRST_READ:
        return await _first_read()
    before = time.perf_counter()
    adapter = load_adapter(PEERS[cell.peer].module)
    clocks = _Clocks(before)
    async with adapter.connect(cell.way) as session:
        worker_cpu_s = await session.call(cpu_since_start, 0)
        return clocks.metrics(worker_cpu_s)


async def _first_read() -> Mapping[str, float]:
    before = time.perf_counter()
    require("asyncfabric")
    from asyncfabric_storage import open_store
    from bench.peers.asyncfabric_local import first_object_read

    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory).as_uri()
        await open_store(store).put(_KEY, _OBJECT)
        clocks = _Clocks(before)
        size, worker_cpu_s = await first_object_read(store, _KEY)
        if size != len(_OBJECT):
            message = f"read {size} bytes of {len(_OBJECT)}"
            raise AssertionError(message)
        return clocks.metrics(worker_cpu_s)


async def _script(cell: Cell) -> Mapping[str, float]:
    code = _SCRIPTS[cell.peer, cell.way]
    require("boto3" if cell.peer == "boto3" else "asyncfabric_runtime")
    if cell.way != "runtime-read":
        return measure_script(code)
    from asyncfabric_storage import open_store

    with tempfile.TemporaryDirectory() as directory:
        store = Path(directory).as_uri()
        await open_store(store).put(_KEY, _OBJECT)
        return measure_script(code.format(store=store))


class _Clocks:
    """Wall and CPU clocks of a start: made when the peer is imported and nothing runs yet."""

    def __init__(self, before_import: float) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        self._import_s = self._wall - before_import

    def metrics(self, worker_cpu_s: float) -> dict[str, float]:
        """Return the figures at the first result."""
        return {
            "ms": (time.perf_counter() - self._wall) * 1e3,
            "import_ms": self._import_s * 1e3,
            "driver_cpu_ms": (time.process_time() - self._cpu) * 1e3,
            "worker_cpu_ms": worker_cpu_s * 1e3,
        }


def _limit(way: str, limit: float) -> LimitGoal:
    return LimitGoal(
        text=f"{PEERS[OURS].way(way).does}, beyond the bare interpreter",
        metric="ms",
        better="lower",
        ours=Side(way=way, work=SCRIPT, n=1),
        limit=limit,
        unit="ms",
    )


_BOTO3 = Side(peer="boto3", way="client", work=SCRIPT, n=1)

TABLE = Table(
    name=NAME,
    title="Starting: to the first result, to the first object",
    about=(
        f"`{FIRST_RESULT}`: with the peer already imported (its import has a column), from "
        "starting it to the first call's result, the worker's own CPU beside it. "
        f"`{FIRST_READ}`: the same, where the call reads a 1 KiB object from a `file://` store. "
        f"`{SCRIPT}`: `python -c ...`, wall time beyond that of `python -c pass` measured in turn "
        "with it; its CPU includes the interpreter's own start."
    ),
    headline=Metric("ms", "ms", "ms"),
    columns=(
        Metric("import_ms", "import ms", "ms"),
        Metric("driver_cpu_ms", "driver CPU ms", "ms"),
        Metric("worker_cpu_ms", "worker CPU ms", "ms"),
        Metric("net_cpu_ms", "of it beyond the interpreter", "ms"),
    ),
    cells=cells,
    measure=measure,
    reference=lambda cell: same_work("submit")(cell) if cell.work == FIRST_RESULT else None,
    goals=(
        _limit("import", 100),
        _limit("import-runtime", 40),
        RatioGoal(
            text="CPU of a worker's imports and first read, beyond the interpreter, against boto3 "
            "with an S3 client",
            metric="net_cpu_ms",
            better="lower",
            ours=Side(way="runtime-read", work=SCRIPT, n=1),
            theirs=_BOTO3,
            factor=10,
        ),
        RatioGoal(
            text="CPU of a Fabric's worker from its start to the first object read in user code, "
            "interpreter included, against boto3 with an S3 client",
            metric="worker_cpu_ms",
            better="lower",
            ours=Side(way="submit-read", work=FIRST_READ, n=1),
            theirs=_BOTO3,
            factor=10,
        ),
    ),
    notes=(
        (
            "ProcessPoolExecutor `submit` and mp.Pool fork the driver on Linux: no interpreter "
            "starts, nothing is imported, and whatever threads the driver had are lost in the "
            "worker."
        ),
        "boto3's row makes a client and no request; ours reads an object.",
        (
            "lithops' worker CPU is that of the process which runs the function, forked from "
            "one that made the imports."
        ),
    ),
)
