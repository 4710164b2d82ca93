"""hedging: real jobs on this machine in which some attempts are slow, with copies and without."""

from __future__ import annotations

import random
import tempfile
import time
from functools import partial
from statistics import mean
from typing import TYPE_CHECKING, NamedTuple

import asyncfabric as af
from bench.goals import LimitGoal, RatioGoal, Side
from bench.model import Cell
from bench.peers import OURS
from bench.sleeping import slow_at_first, slow_at_first_async
from bench.tables.base import Metric, Table, same_work
from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.tables.base import Plan

NAME = "hedging"
HEDGE, NO_HEDGE = "local-hedge", "local-no-hedge"
_SLOW_SHARE = 0.02
_DRAWS = 3
"""Which calls are slow is drawn anew so many times in a repetition; the figures are means."""


class _Job(NamedTuple):
    """Calls of some seconds each on so many processes; calls of no length are trivial ones."""

    calls: int
    seconds: float
    processes: int
    function: Callable[..., object] = slow_at_first


_PLAIN = "sleeping calls, 16 processes"
_LONGER = "sleeping calls, 8 processes"
_COROUTINES = "sleeping coroutine calls, 2 processes"
_TRIVIAL = "trivial calls, 2 processes"
_JOBS = {
    _PLAIN: _Job(50, 0.5, 16),
    _LONGER: _Job(100, 0.5, 8),
    _COROUTINES: _Job(100, 0.5, 2, slow_at_first_async),
    _TRIVIAL: _Job(100_000, 0.0, 2),
}
_SMOKE_JOBS = {_COROUTINES: _Job(50, 0.05, 1, slow_at_first_async)}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return each job with copies and without."""
    return [
        Cell(table=NAME, peer=OURS, way=way, work=work, n=job.calls, loop=plan.loop)
        for work, job in (_SMOKE_JOBS if plan.smoke else _JOBS).items()
        for way in (HEDGE, NO_HEDGE)
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Run the cell's job, its processes started, once for each draw of the slow calls."""
    job = _JOBS[cell.work]
    if cell.n != job.calls:
        job = _SMOKE_JOBS[cell.work]
    runs = [await _run(job, seed, hedged=cell.way == HEDGE) for seed in range(_DRAWS)]
    ideal = -(-job.calls // job.processes) * job.seconds
    if job.function is slow_at_first_async:
        ideal = job.seconds  # all at once
    seconds = mean(run[0] for run in runs)
    metrics = {
        "makespan": seconds,
        "copies": mean(run[1].copies for run in runs),
        "won": mean(run[1].copies_won for run in runs),
        "extra": 100 * mean(run[1].copies for run in runs) / job.calls,
    }
    return metrics | ({"ratio": seconds / ideal} if ideal else {})


async def _run(job: _Job, seed: int, *, hedged: bool) -> tuple[float, af.MapStats]:
    slow = random.Random(seed).sample(range(job.calls), int(_SLOW_SHARE * job.calls))
    hedge = af.Hedge() if hedged else None
    with tempfile.TemporaryDirectory() as marks:
        function = partial(job.function, marks, frozenset(slow), job.seconds)
        async with af.Fabric(f"local://?processes={job.processes}", hedge=hedge) as fabric:
            await fabric.warm(job.processes)
            mapped = fabric.map(function if job.seconds else identity, range(job.calls))
            began = time.perf_counter()
            results = await mapped
            seconds = time.perf_counter() - began
    if results != list(range(job.calls)):
        message = f"{len(results)} results instead of {job.calls}, or wrong ones"
        raise AssertionError(message)
    return seconds, mapped.stats


def _twice(work: str) -> RatioGoal:
    return RatioGoal(
        text=f"{_JOBS[work].calls} {work}: sooner with copies than without",
        metric="makespan",
        better="lower",
        ours=Side(way=HEDGE, work=work, n=_JOBS[work].calls),
        theirs=Side(way=NO_HEDGE, work=work, n=_JOBS[work].calls),
        factor=2,
    )


TABLE = Table(
    name=NAME,
    title="Slow attempts on this machine, with copies and without",
    about=(
        "Real jobs on worker processes. 2% of the calls, drawn at random, sleep ten times longer "
        "than the others in their first attempt; a copy of one sleeps as long as any other call. "
        "Time from the start of the map to the last result, its workers started before."
    ),
    headline=Metric("makespan", "makespan s", "number"),
    columns=(
        Metric("ratio", "makespan / ideal", "number"),
        Metric("copies", "copies", "number"),
        Metric("won", "copies that won", "number"),
        Metric("extra", "extra executions %", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=same_work(HEDGE),
    goals=(
        _twice(_PLAIN),
        _twice(_COROUTINES),
        LimitGoal(
            text="copies of 100,000 trivial calls",
            metric="copies",
            better="lower",
            ours=Side(way=HEDGE, work=_TRIVIAL, n=_JOBS[_TRIVIAL].calls),
            limit=1,
            unit="calls",
        ),
    ),
    notes=(
        (
            "The calls take 0.5 s, slow ones 5 s. `ideal` is the time without slow ones and "
            "without any cost. What copies are worth depends on how much there is to do beside "
            "the slow calls: the more waves of calls, the less a slow one shows at the end."
        ),
    ),
)
