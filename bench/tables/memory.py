"""memory: bytes of driver memory a held call takes, and whether a stream stays flat."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from bench.goals import Goal, LimitGoal, Side
from bench.meter import Meter, peak_rss
from bench.model import Cell
from bench.peers import OURS, PEERS, Session, Streaming, load_adapter
from bench.tables.base import DRIVER_CPU, PEAK_RSS, WALL, Metric, Table, same_work
from bench.tables.local_rate import timed_run
from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "memory"
HELD = "all held"
STREAM = "endless stream"
_WARM_UP = 64
_SMOKE_CALLS = 5_000
_EARLY_SHARE = 10

_HELD: dict[str, dict[str, tuple[int, ...]]] = {
    OURS: {"submit": (2_000, 10_000, 100_000, 1_000_000), "map": (10_000, 100_000, 1_000_000)},
    "ProcessPoolExecutor": {"submit": (10_000,)},
    "mp.Pool": {"imap": (10_000, 100_000), "apply_async": (10_000,)},
    "aiomultiprocess": {"map": (10_000, 100_000)},
    "anyio.to_process": {"run_sync": (10_000,)},
    "loky": {"submit": (10_000,)},
    "joblib": {"batched": (10_000, 100_000)},
    "ray": {"await": (2_000,)},
    "dask": {"submit": (2_000,)},
}
_STREAM: dict[str, dict[str, tuple[int, ...]]] = {
    OURS: {"map": (100_000, 1_000_000)},
    "joblib": {"generator": (100_000,)},
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return the held rows of every peer, and the streams of those that can stream."""
    return [
        Cell(table=NAME, peer=peer, way=way, work=work, n=n, loop=plan.loop)
        for work, rows in ((HELD, _HELD), (STREAM, _STREAM))
        for peer, ways in rows.items()
        if not (plan.smoke and PEERS[peer].heavy)
        for way, sizes in ways.items()
        for n in ([_SMOKE_CALLS] if plan.smoke else sizes)
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Measure the driver's peak memory over a held run or a stream, after a warm-up."""
    adapter = load_adapter(PEERS[cell.peer].module)
    async with adapter.connect(cell.way) as session:
        await session.run(identity, range(_WARM_UP))
        if cell.work == STREAM:
            return await _stream(session, cell.n)
        meter = await timed_run(session, cell.n)
    metrics = meter.metrics(cell.n)
    return metrics | {"bytes_per_call": metrics["grown_rss"] / cell.n}


async def _stream(session: Session, n: int) -> Mapping[str, float]:
    """Read `n` results of an endless input; compare the peak with that after a tenth of them."""
    if not isinstance(session, Streaming):
        message = "this way cannot stream"
        raise TypeError(message)
    early = n // _EARLY_SHARE
    peak_early = 0
    total = 0
    with Meter() as meter:
        seen = 0
        async for result in session.stream(identity, count()):
            total += result
            seen += 1
            if seen == early:
                peak_early = peak_rss()
            if seen == n:
                break
    if total != n * (n - 1) // 2:
        message = f"wrong results in a stream of {n}"
        raise AssertionError(message)
    metrics = meter.metrics(n)
    return metrics | {
        "bytes_per_call": metrics["grown_rss"] / n,
        "peak_rss_early": float(peak_early),
        "late_growth": meter.peak_rss / peak_early,
        "late_bytes_per_call": (meter.peak_rss - peak_early) / (n - early),
    }


def _at_most_1_kb(way: str, n: int) -> Goal:
    return LimitGoal(
        text=f"driver memory of a held call, {n:,} calls, {way}",
        metric="bytes_per_call",
        better="lower",
        ours=Side(way=way, work=HELD, n=n),
        limit=1024,
        unit="bytes/call",
    )


TABLE = Table(
    name=NAME,
    title="Driver memory of many calls",
    about=(
        "Bytes by which the driver's peak resident memory grows, a call. `all held`: every call "
        "and every result of a trivial function is held until the last is there. `endless "
        "stream`: results of an endless generator are read one by one and dropped; the stream is "
        "broken out of after N."
    ),
    headline=Metric("bytes_per_call", "bytes/call", "bytes"),
    columns=(
        Metric("grown_rss", "grown MiB", "MiB"),
        PEAK_RSS,
        Metric("late_growth", "peak at N / peak at N/10", "number"),
        WALL,
        DRIVER_CPU,
    ),
    cells=cells,
    measure=measure,
    reference=lambda cell: same_work("submit" if cell.work == HELD else "map")(cell),
    goals=(
        _at_most_1_kb("submit", 100_000),
        _at_most_1_kb("map", 100_000),
        _at_most_1_kb("submit", 1_000_000),
        _at_most_1_kb("map", 1_000_000),
        LimitGoal(
            text="flat when streamed: peak after 1,000,000 results against that after 100,000",
            metric="late_growth",
            better="lower",
            ours=Side(way="map", work=STREAM, n=1_000_000),
            limit=1.1,
            unit="x",
        ),
        LimitGoal(
            text="nothing kept of a streamed result: growth from 100,000 to 1,000,000 results",
            metric="late_bytes_per_call",
            better="lower",
            ours=Side(way="map", work=STREAM, n=1_000_000),
            limit=8,
            unit="bytes/result",
        ),
    ),
    notes=(
        (
            "Memory of the driver process alone: Ray's object store and daemons are not in it, "
            "dask's scheduler, which lives in the driver, is."
        ),
        (
            "Of the peers only joblib's generator takes an endless input; the others read the "
            "whole input first and would never return a result."
        ),
        (
            "`flat` is judged with a tolerance of 10% of the whole process, and by the growth for "
            "each further result: less than the 8 bytes of one pointer."
        ),
    ),
)
