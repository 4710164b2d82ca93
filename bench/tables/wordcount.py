"""wordcount: the words of a text counted by key, with Python functions where the peer runs them."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from bench.data import write_text
from bench.goals import RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peaks import Peaks
from bench.peers import OURS
from bench.peers.stages import load_stages
from bench.tables.base import Metric, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "wordcount"
WORK = "32 MB of text"
_BYTES = 32_000_000
_SMOKE_WORK = "1 MB of text"
_SMOKE_BYTES = 1_000_000
_WORDS, _DIFFERENT = 5_458_865, 175_669
PARTITIONS = 333
"""Those of the paper's word count."""
BEST = 8
"""Four for each core: the best for Spark on two cores."""

_MODULES = {
    OURS: "asyncfabric",
    "PySpark": "pyspark",
    "dask": "dask",
    "polars": "polars",
    "DuckDB": "duckdb",
}
_WAYS: dict[str, dict[str, tuple[int, ...]]] = {
    OURS: {
        "pairs": (PARTITIONS, BEST),
        "counter": (PARTITIONS, BEST),
        "whole": (BEST,),
    },
    "PySpark": {
        "rdd": (PARTITIONS, BEST),
        "rdd-counter": (BEST,),
        "dataframe": (PARTITIONS, BEST),
    },
    "dask": {"bag": (BEST,)},
    "polars": {"lazy": (1,)},
    "DuckDB": {"count": (1,)},
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every way at its numbers of partitions."""
    return [
        Cell(
            table=NAME,
            peer=peer,
            way=way,
            work=_SMOKE_WORK if plan.smoke else WORK,
            n=n,
            loop=plan.loop,
            timeout_s=900,
        )
        for peer, ways in _WAYS.items()
        for way, numbers in ways.items()
        for n in numbers
        if not plan.smoke or (peer == OURS and n == BEST)
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Start the peer, count once; check the sums."""
    adapter = load_stages(_MODULES[cell.peer])
    with TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        text = Path(name) / "text"
        write_text(text, _SMOKE_BYTES if cell.work == _SMOKE_WORK else _BYTES)
        begin = perf_counter()
        with Peaks() as peaks:
            async with adapter.connect(cell.way) as session:
                started = perf_counter() - begin
                with Meter() as meter:
                    found = list(await session.count(text, cell.n))
    number = sum(count for _, count in found)
    if cell.work == WORK and (number, len(found)) != (_WORDS, _DIFFERENT):
        message = f"{number} words, {len(found)} different: not {_WORDS}, {_DIFFERENT}"
        raise AssertionError(message)
    return {
        "total_s": started + meter.wall_s,
        "run_s": meter.wall_s,
        "start_s": started,
        "cpu_s": meter.driver_cpu_s + meter.others_cpu_s,
        "driver_cpu_s": meter.driver_cpu_s,
        "process_bytes": float(max(peaks.largest, meter.peak_rss)),
    }


def _goals() -> tuple[RatioGoal, ...]:
    spark = ("rdd", PARTITIONS), ("rdd", BEST), ("rdd-counter", BEST)
    return tuple(
        RatioGoal(
            text=f"{text} PySpark {way}, {n} partitions",
            metric=metric,
            better="lower",
            ours=Side(way="counter" if way == "rdd-counter" else "pairs", work=WORK, n=n),
            theirs=Side(peer="PySpark", way=way, work=WORK, n=n),
            factor=factor,
        )
        for text, metric, factor in (
            ("with its start, faster than", "total_s", 1.0),
            ("without its start, at most 1.2x the time of", "run_s", 1 / 1.2),
        )
        for way, n in spark
    )


def _same_functions(cell: Cell) -> Side:
    own = {"rdd-counter": "counter"}.get(cell.way, "pairs")
    n = cell.n if cell.n in {PARTITIONS, BEST} else BEST
    return Side(way=own, work=cell.work, n=n)


TABLE = Table(
    name=NAME,
    title="Counting the words of a text",
    about=(
        "32 MB of text, 5.5 million words, 175,669 different ones with Zipf's frequencies. N is "
        "the number of partitions, of which there are as many in the input as in the result. "
        "Every peer has two processes or threads, and brings all counts to the driver, where they "
        "are summed up. Start is what it takes until work can be given to it: importing its "
        "package, and a JVM or workers where there are any."
    ),
    headline=Metric("total_s", "s, start and run", "number"),
    columns=(
        Metric("run_s", "run s", "number"),
        Metric("start_s", "start s", "number"),
        Metric("cpu_s", "CPU s of the run, all processes", "number"),
        Metric("driver_cpu_s", "of it in the driver", "number"),
        Metric("process_bytes", "largest process MiB", "MiB"),
    ),
    cells=cells,
    measure=measure,
    reference=_same_functions,
    goals=_goals(),
    notes=(
        (
            "`pairs` and PySpark's `rdd` run the same Python functions on each line and each word, "
            "and so does `bag`; `counter` and `rdd-counter` make a Counter of each partition. Rows "
            "are compared with ours of the same kind; the DataFrame, Polars and DuckDB, which run "
            "no Python function, with `pairs`."
        ),
        "333 are the partitions of the paper's word count; on two cores, 8 are better for all.",
        "The text is in the page cache for everybody: it was written just before.",
    ),
)
