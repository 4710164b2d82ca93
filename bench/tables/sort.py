"""sort: records of 100 bytes by their first 10, more than fits in memory, from files to files."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from bench.data import check_sorted, write_records
from bench.goals import LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peaks import Peaks
from bench.peers import OURS
from bench.peers.session import WORKERS
from bench.peers.stages import RECORD, load_stages
from bench.tables.base import Metric, Table, same_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "sort"
_MIB = 1 << 20
LARGE, TIGHT, HEAP = "128 MiB of memory", "64 MiB of memory", "512 MiB of memory"
_MEMORY = {LARGE: 128 * _MIB, TIGHT: 64 * _MIB, HEAP: 512 * _MIB}
RECORDS = 4_000_000
_SMOKE = 100_000

_MODULES = {OURS: "asyncfabric", "PySpark": "pyspark", "DuckDB": "duckdb", "GNU sort": "gnu"}
_CELLS = (
    (OURS, "sort", LARGE, RECORDS),
    (OURS, "sort", TIGHT, RECORDS),
    (OURS, "sort", HEAP, RECORDS),
    ("GNU sort", "key", LARGE, RECORDS),
    ("GNU sort", "line", LARGE, RECORDS),
    ("GNU sort", "key", TIGHT, RECORDS),
    ("DuckDB", "copy", LARGE, RECORDS),
    ("DuckDB", "copy", HEAP, RECORDS),
    ("PySpark", "dataframe-sort", HEAP, RECORDS),
)


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every way within its memory."""
    if plan.smoke:
        return [Cell(table=NAME, peer=OURS, way="sort", work=HEAP, n=_SMOKE, loop=plan.loop)]
    return [
        Cell(table=NAME, peer=peer, way=way, work=work, n=n, loop=plan.loop, timeout_s=900)
        for peer, way, work, n in _CELLS
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Start the peer, sort once; check order, number and checksum."""
    adapter = load_stages(_MODULES[cell.peer])
    with TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        source, target = Path(name) / "source", Path(name) / "target"
        write_records(source, cell.n)
        await asyncio.to_thread(target.mkdir)
        await asyncio.to_thread(os.sync)  # nobody pays for writing the input
        begin = perf_counter()
        async with adapter.connect(cell.way) as session:
            started = perf_counter() - begin
            with Peaks() as peaks, Meter() as meter:
                await session.sort(source, target, _MEMORY[cell.work])
        check_sorted(source, target, cell.n)
    return {
        "mb_per_s": cell.n * RECORD / 1e6 / meter.wall_s,
        "run_s": meter.wall_s,
        "total_s": started + meter.wall_s,
        "cpu_s": meter.driver_cpu_s + meter.others_cpu_s,
        "process_bytes": float(max(peaks.largest, meter.peak_rss)),
        "grown_mib": peaks.grown / _MIB,
    }


def _versus(peer: str, way: str, work: str) -> RatioGoal:
    return RatioGoal(
        text=f"at least as fast as {peer} ({way}), {work}",
        metric="run_s",
        better="lower",
        ours=Side(way="sort", work=work, n=RECORDS),
        theirs=Side(peer=peer, way=way, work=work, n=RECORDS),
        factor=1.0,
    )


def _within(work: str) -> LimitGoal:
    each = _MEMORY[work] / WORKERS / _MIB
    return LimitGoal(
        text=f"a worker grows by no more than its memory=, {RECORDS * RECORD / 1e6:,.0f} MB",
        metric="grown_mib",
        better="lower",
        ours=Side(way="sort", work=work, n=RECORDS),
        limit=each,
        unit="MiB",
    )


TABLE = Table(
    name=NAME,
    title="Sorting more than fits in memory",
    about=(
        "N records of 100 bytes (as `gensort -a` makes them) in files of 64 MB, sorted by their "
        "first 10 bytes into other files, by two processes or threads within the memory of the "
        "column: two workers with half of it each, `sort --buffer-size`, DuckDB's memory_limit, "
        "a JVM with that heap. Order, number and checksum of all records are checked."
    ),
    headline=Metric("mb_per_s", "MB/s", "rate", "higher"),
    columns=(
        Metric("run_s", "run s", "number"),
        Metric("total_s", "start and run s", "number"),
        Metric("cpu_s", "CPU s, all processes", "number"),
        Metric("process_bytes", "largest process MiB", "MiB"),
        Metric("grown_mib", "growth of a worker MiB", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=same_work("sort"),
    goals=(
        _versus("GNU sort", "key", LARGE),
        _versus("GNU sort", "line", LARGE),
        _versus("GNU sort", "key", TIGHT),
        _versus("DuckDB", "copy", HEAP),
        _versus("PySpark", "dataframe-sort", HEAP),
        _within(LARGE),
        _within(TIGHT),
    ),
    notes=(
        (
            "GNU sort is there stable and by key, as ours is, and by whole lines. DuckDB's and "
            "PySpark's are not stable, which is less work."
        ),
        (
            "Ours writes some tens of objects whose names are in order, PySpark one a partition, "
            "the others one file."
        ),
        "DuckDB has no block size that fits in 128 MiB: it fails there.",
        "PySpark has its largest memory only: Spark wants a heap of 471 MB at least.",
        (
            "The input was written to the disk before the clock runs, and is in the page cache; "
            "what is written afterwards goes to the disk as the kernel likes."
        ),
        (
            "Growth is that of a process which was there before the sort, over what it held then, "
            "by Linux' own peak: ours only."
        ),
    ),
)
