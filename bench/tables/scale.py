"""scale: what a call costs the scheduler and the driver, from ten thousand calls to a million."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncfabric import Hedge
from asyncfabric.testing import Profile
from bench.goals import LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS
from bench.simulations import Job, decide, run_map
from bench.tables.base import PEAK_RSS, WALL, Curve, Metric, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "scale"
DECISIONS = "decisions"
SIMULATED = "simulated cloud"
_SIZES = (10_000, 100_000, 1_000_000)
_SMOKE_CALLS = 2_000
_SLOTS = 1000
_CALL_SECONDS = 2.5
_SEED = 1
_CURVE = Curve((SIMULATED,))


def cells(plan: Plan) -> Sequence[Cell]:
    """Return both works at every size."""
    return [
        Cell(table=NAME, peer=OURS, way=way, work=work, n=n, timeout_s=3600)
        for work, way in ((DECISIONS, "decisions"), (SIMULATED, "simulated-map"))
        for n in ((_SMOKE_CALLS,) if plan.smoke else _SIZES)
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Measure a map of the cell's size, after a small one."""
    return await asyncio.to_thread(_measure, cell)  # a simulation has an event loop of its own


def _measure(cell: Cell) -> Mapping[str, float]:
    decisions = cell.work == DECISIONS
    decide(_SMOKE_CALLS, _SLOTS)
    if decisions:
        with Meter() as meter:
            decide(cell.n, _SLOTS)
        return _metrics(meter, cell.n)
    profile = Profile.heavy()
    run_map(Job(_SMOKE_CALLS, _CALL_SECONDS), profile, _SEED, hedge=Hedge())
    with Meter() as meter:
        finished = run_map(Job(cell.n, _CALL_SECONDS, _SLOTS), profile, _SEED, hedge=Hedge())
    return (
        _metrics(meter, cell.n)
        | {"makespan": finished.makespan}
        | _CURVE.metrics(finished.completed)
    )


def _metrics(meter: Meter, calls: int) -> dict[str, float]:
    metrics = meter.metrics(calls)
    return {
        "us": metrics["driver_cpu_us"],
        "cpu_s": meter.driver_cpu_s,
        **metrics,
        "bytes_per_call": metrics["grown_rss"] / calls,
    }


def _side(work: str, way: str, n: int) -> Side:
    return Side(way=way, work=work, n=n)


TABLE = Table(
    name=NAME,
    title="What a call costs, from ten thousand to a million",
    about=(
        "`decisions`: the state machines of `asyncfabric.scheduling` alone, told of launches and "
        "answers in a loop, 1,000 in flight, with retries, hedging and an adaptive limit. "
        "`simulated cloud`: a whole `fabric.map` of calls of 2.5 s on 1,000 simulated workers, "
        "heavy profile: the driver, the runtime that runs each call, and the simulation itself."
    ),
    headline=Metric("us", "CPU us a call", "us"),
    columns=(
        WALL,
        Metric("cpu_s", "CPU s", "number"),
        Metric("bytes_per_call", "grown bytes a call", "bytes"),
        PEAK_RSS,
        Metric("makespan", "simulated s", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=lambda _: None,
    goals=(
        *(
            LimitGoal(
                text=f"scheduler, {n:,} calls",
                metric="us",
                better="lower",
                ours=_side(DECISIONS, "decisions", n),
                limit=10.0,
                unit="us/call",
            )
            for n in _SIZES
        ),
        RatioGoal(
            text="scheduler, constant: 1,000,000 calls cost at most 1.25x of 10,000, each",
            metric="us",
            better="lower",
            ours=_side(DECISIONS, "decisions", 1_000_000),
            theirs=_side(DECISIONS, "decisions", 10_000),
            factor=0.8,
        ),
        LimitGoal(
            text="a million simulated calls on one core, seconds of CPU",
            metric="cpu_s",
            better="lower",
            ours=_side(SIMULATED, "simulated-map", 1_000_000),
            limit=300.0,
            unit="s",
        ),
        LimitGoal(
            text="nothing kept of settled calls: growth of the scheduler, 1,000,000 calls",
            metric="bytes_per_call",
            better="lower",
            ours=_side(DECISIONS, "decisions", 1_000_000),
            limit=8,
            unit="bytes/call",
        ),
        LimitGoal(
            text="memory of a simulated call, its result held, 1,000,000 calls",
            metric="bytes_per_call",
            better="lower",
            ours=_side(SIMULATED, "simulated-map", 1_000_000),
            limit=1024,
            unit="bytes/call",
        ),
    ),
    notes=(
        "CPU time is that of one process with one thread, with what it costs to share caches.",
        "`decisions` asks all that the dispatcher asks for a call, and in its order.",
        "The simulation keeps a time for each completed call, 8 bytes; nothing else of it grows.",
        "In the chart: one line for each size.",
    ),
    curve=_CURVE,
)
