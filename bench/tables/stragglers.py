"""stragglers: how long jobs take on the simulated cloud, by the policy for slow workers."""

from __future__ import annotations

import asyncio
from statistics import mean
from time import process_time
from typing import TYPE_CHECKING

from asyncfabric import Hedge
from asyncfabric.testing import Profile
from bench.goals import Goal, LimitGoal, Side
from bench.model import Cell
from bench.peers import OURS
from bench.simulations import BACKUPS, SPARK_3, SPARK_4, Finished, Job, run_by_rule, run_map
from bench.tables.base import Curve, Metric, Table, same_work

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.simulations import Rule
    from bench.tables.base import Plan

NAME = "stragglers"
SEEDS = 8
_SMOKE_SEEDS = 2

_CALM = "no stragglers"
_PROFILES = {
    "heavy": Profile.heavy(),
    "mild": Profile.default(),
    _CALM: Profile.calm(),
}
_JOBS = {
    "1,000 slots x 2 s": Job(1000, 2.0),
    "1,000 slots x 20 s": Job(1000, 20.0),
    "1,000 slots x 5 s": Job(4000, 5.0),
    "1,000 slots x 2.5 s": Job(8000, 2.5),
}
_SMOKE_JOBS = {"50 slots x 2 s": Job(100, 2.0, 50)}
_RULES: dict[tuple[str, str], Rule] = {
    ("Spark", "speculation-3"): SPARK_3,
    ("Spark", "speculation-4"): SPARK_4,
    ("cubed", "backups"): BACKUPS,
}
_OURS = ("hedge", "heartbeats", "no-hedge")
CURVE = Curve(tuple(f"heavy, {name}" for name in _JOBS | _SMOKE_JOBS))
_WAYS = [*((OURS, way) for way in _OURS), *_RULES]


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every policy, for every job, on every kind of day; on a calm one ours alone."""
    jobs = _SMOKE_JOBS if plan.smoke else _JOBS
    return [
        Cell(table=NAME, peer=peer, way=way, work=f"{day}, {name}", n=job.calls, timeout_s=600)
        for day in _PROFILES
        for name, job in jobs.items()
        for peer, way in _WAYS
        if day != _CALM or peer == OURS
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Simulate the cell's job with fixed seeds, beside the same job on a perfect day."""
    return await asyncio.to_thread(_simulate, cell)  # a simulation has an event loop of its own


def _simulate(cell: Cell) -> Mapping[str, float]:
    day, _, name = cell.work.partition(", ")
    job = _JOBS.get(name)
    seeds = range(SEEDS)
    if job is None:
        job, seeds = _SMOKE_JOBS[name], range(_SMOKE_SEEDS)
    ideals = [run_map(job, Profile.calm(), seed, hedge=None) for seed in seeds]
    began = process_time()
    runs = [_run(cell, job, _PROFILES[day], seed) for seed in seeds]
    seconds = process_time() - began
    ideal = mean(each.makespan for each in ideals)
    ratios = sorted(each.makespan / ideal for each in runs)
    metrics = {
        "ratio": mean(ratios),
        "p95": ratios[round(0.95 * (len(ratios) - 1))],
        "worst": ratios[-1],
        "extra": 100 * mean(each.extra for each in runs),
        "billed": 100 * (mean(e.billed for e in runs) / mean(e.billed for e in ideals) - 1),
        "cpu_us": 1e6 * seconds / (job.calls * len(seeds)),
    }
    return metrics | CURVE.metrics(runs[0].completed)


def _run(cell: Cell, job: Job, profile: Profile, seed: int) -> Finished:
    rule = _RULES.get((cell.peer, cell.way))
    if rule is not None:
        return run_by_rule(job, profile, seed, rule)
    hedge = None if cell.way == "no-hedge" else Hedge()
    return run_map(job, profile, seed, hedge=hedge, heartbeats=cell.way == "heartbeats")


def _goals(text: str, work: str, n: int, way: str, **limits: float) -> list[Goal]:
    side = Side(way=way, work=work, n=n)
    labels = {
        "ratio": ("mean makespan over the ideal", "x"),
        "extra": ("extra executions", "%"),
        "billed": ("billed beyond the ideal", "%"),
    }
    return [
        LimitGoal(
            text=f"{text}: {labels[metric][0]}",
            metric=metric,
            better="lower",
            ours=side,
            limit=limit,
            unit=labels[metric][1],
        )
        for metric, limit in limits.items()
    ]


TABLE = Table(
    name=NAME,
    title="Slow workers: what hedging is worth",
    about=(
        "Simulated time from the first invocation to the last result, over that of the same job "
        "on a day without slow workers and faults (mean of the same seeds). `heavy`: 2% of the "
        "attempts take 1.5 to 10 times as long (Pareto, shape 1.5); `mild`: 1.33 to 2 times. In "
        "both, one in a thousand fails at some point. Every worker is cold at first. N calls of "
        f"equal work, seeds 0 to {SEEDS - 1}; what is tuned is tuned on others."
    ),
    headline=Metric("ratio", "makespan / ideal, mean", "number"),
    columns=(
        Metric("p95", "p95", "number"),
        Metric("worst", "worst", "number"),
        Metric("extra", "extra executions %", "number"),
        Metric("billed", "billed beyond ideal %", "number"),
        Metric("cpu_us", "CPU us a simulated call", "us"),
    ),
    cells=cells,
    measure=measure,
    reference=same_work("hedge"),
    goals=(
        *_goals("8 calls a slot", "heavy, 1,000 slots x 2.5 s", 8000, "hedge", ratio=1.15, extra=2),
        *_goals("4 calls a slot", "heavy, 1,000 slots x 5 s", 4000, "hedge", ratio=1.28),
        *_goals("one wave of 2 s", "heavy, 1,000 slots x 2 s", 1000, "hedge", ratio=1.3, billed=9),
        *_goals("one wave of 20 s", "heavy, 1,000 slots x 20 s", 1000, "hedge", ratio=1.9),
        *_goals(
            "one wave of 20 s, heartbeats",
            "heavy, 1,000 slots x 20 s",
            1000,
            "heartbeats",
            ratio=1.6,
        ),
        *(
            goal
            for name, job in _JOBS.items()
            for goal in _goals(
                f"no stragglers, {job.calls:,} x {job.seconds:g} s",
                f"{_CALM}, {name}",
                job.calls,
                "hedge",
                ratio=1.01,
                extra=1.5,
            )
        ),
    ),
    notes=(
        (
            "All policies run on the same simulated cloud, on asyncfabric's own driver and its "
            "retries. Spark's and cubed's rules submit each task and each copy by itself, waiting "
            "tasks first; their run times count from the launch, which is kinder to cubed than its "
            "own code, where they count from the submission. A copy that lost is billed to its end."
        ),
        (
            "`extra executions` are those beyond one for each call, the repetition of failed ones "
            "included. Simulated figures are the same in every run: one repetition is made."
        ),
        (
            "What one wave can reach is bounded. By time alone, nothing tells a slow worker from a "
            "slow start before 98% of the 2 s calls have ended, at 0.8 of the ideal, and a copy "
            "takes 0.52 more: 1.3 needs copies sooner, and then 10% more is billed. With "
            "heartbeats, no place is free for a copy of a 20 s call before the first call ends, at "
            "0.72 of the ideal, and a copy takes 0.84 more: 1.61 is what the luckiest seeds reach."
        ),
        "In the chart: seed 0 of the heavy profile.",
    ),
    once=True,
    curve=CURVE,
)
