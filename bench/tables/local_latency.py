"""local-latency: one trivial call at a time, microseconds from call to result."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from bench.goals import Goal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS, PEERS, load_adapter
from bench.tables.base import DRIVER_CPU, OTHERS_CPU, PEAK_RSS, Metric, Table
from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers import Session
    from bench.tables.base import Plan

NAME = "local-latency"
WORK = "one at a time"
_SMOKE_CALLS = 200
_CALLS = 3_000
_WARM_UP_SHARE = 10

# The number of calls: thousands where a call takes microseconds, fewer where it takes milliseconds
# or seconds. A percentile does not depend on it as a rate would.
_FULL: dict[str, dict[str, int]] = {
    OURS: {"submit": _CALLS},
    "ProcessPoolExecutor": {"submit": _CALLS, "blocking": _CALLS},
    "mp.Pool": {"imap": _CALLS, "apply_async": _CALLS},
    "aiomultiprocess": {"apply": 300},
    "anyio.to_process": {"run_sync": _CALLS},
    "loky": {"submit": _CALLS},
    "joblib": {"parallel": 300},
    "ray": {"await": 1_000},
    "dask": {"submit": 300},
    "lithops": {"map-tuned": 10},
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every way that can make a single call, ours and the goals' peers on both loops."""
    if plan.smoke:
        return [
            Cell(table=NAME, peer=peer.name, way=way, work=WORK, n=_SMOKE_CALLS, loop=plan.loop)
            for peer in PEERS.values()
            if not peer.heavy
            for way in _FULL.get(peer.name, ())
        ]
    found = [
        Cell(table=NAME, peer=peer, way=way, work=WORK, n=n, loop=plan.loop)
        for peer, ways in _FULL.items()
        for way, n in ways.items()
    ]
    if plan.loop != "stock":
        both = {OURS, "ProcessPoolExecutor", "anyio.to_process"}
        found += [cell.on("stock") for cell in found if cell.peer in both]
    return found


async def measure(cell: Cell) -> Mapping[str, float]:
    """Make the calls one after another, a tenth as many before as a warm-up."""
    adapter = load_adapter(PEERS[cell.peer].module)
    async with adapter.connect(cell.way) as session:
        await _timed_calls(session, max(1, cell.n // _WARM_UP_SHARE))
        with Meter() as meter:
            seconds = await _timed_calls(session, cell.n)
    percentiles = quantiles(seconds, n=100, method="inclusive")
    return meter.metrics(cell.n) | {
        "p50_us": percentiles[49] * 1e6,
        "p99_us": percentiles[98] * 1e6,
    }


async def _timed_calls(session: Session, n: int) -> list[float]:
    seconds: list[float] = []
    for number in range(n):
        start = time.perf_counter()
        result = await session.call(identity, number)
        seconds.append(time.perf_counter() - start)
        if result != number:
            message = f"call {number} gave {result}"
            raise AssertionError(message)
    return seconds


def _versus(metric: str, peer: str, way: str, factor: float) -> Goal:
    return RatioGoal(
        text=f"{metric[:3]} of a round trip against {peer} ({way})",
        metric=metric,
        better="lower",
        ours=Side(way="submit", work=WORK, n=_CALLS),
        theirs=Side(peer=peer, way=way, work=WORK, n=_CALLS),
        factor=factor,
    )


TABLE = Table(
    name=NAME,
    title="Round trip of one call on one machine",
    about=(
        "One trivial call at a time, the next when the result of the last is there, after a "
        "warm-up: median and 99th percentile of microseconds from call to result."
    ),
    headline=Metric("p50_us", "p50 us", "us"),
    columns=(Metric("p99_us", "p99 us", "us"), DRIVER_CPU, OTHERS_CPU, PEAK_RSS),
    cells=cells,
    measure=measure,
    reference=lambda cell: Side(way="submit", work=WORK, n=None, loop=cell.loop),
    goals=(
        _versus("p50_us", "ProcessPoolExecutor", "submit", 2),
        _versus("p50_us", "ProcessPoolExecutor", "blocking", 2),
        _versus("p50_us", "anyio.to_process", "run_sync", 1.2),
        _versus("p99_us", "anyio.to_process", "run_sync", 1),
    ),
    notes=(
        (
            "The number of calls differs (column N) so that no peer takes minutes; of lithops' "
            "ten calls the p99 is their maximum."
        ),
    ),
)
