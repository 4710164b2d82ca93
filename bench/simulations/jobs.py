"""A job of equal calls on the simulated cloud, and what came of it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import asyncfabric as af
from asyncfabric.testing import SimulatedCloud, spend

if TYPE_CHECKING:
    from array import array

    from asyncfabric import Hedge
    from asyncfabric.testing import Profile

HEARTBEATS = 10
"""Reports of progress in each call that makes any."""


class Job(NamedTuple):
    """So many calls, each of so many seconds, at so many places at a time."""

    calls: int
    seconds: float
    slots: int = 1000


class Finished(NamedTuple):
    """What became of a job.

    `extra` is the share of executions beyond one for each call, repeated failures among them;
    `completed` is when each call was first answered, ascending.
    """

    makespan: float
    billed: float
    extra: float
    throttled: int
    completed: array[float]


def quiet(seconds: float, index: int) -> int:
    """Take some simulated time."""
    spend(seconds)
    return index


def talking(seconds: float, index: int) -> int:
    """Take some simulated time, and report progress in equal steps."""
    here = af.current()
    for step in range(1, HEARTBEATS):
        spend(seconds / HEARTBEATS)
        here.progress(step / HEARTBEATS)
    spend(seconds / HEARTBEATS)
    return index


def run_map(
    job: Job, profile: Profile, seed: int, *, hedge: Hedge | None, heartbeats: bool = False
) -> Finished:
    """Run a job as `fabric.map`."""
    cloud = SimulatedCloud(seed, profile)
    work = partial(talking if heartbeats else quiet, job.seconds)

    async def main() -> list[int]:
        async with cloud.fabric(
            max_concurrency=job.slots, hedge=hedge, heartbeats=heartbeats
        ) as fabric:
            return await fabric.map(work, range(job.calls))

    check(job, cloud.run(main))
    return account(job, cloud)


def check(job: Job, results: list[int]) -> None:
    """See that every call has its own result."""
    if results != list(range(job.calls)):
        message = f"wrong results of {job}"
        raise AssertionError(message)


def account(job: Job, cloud: SimulatedCloud) -> Finished:
    """Read what became of a job out of the cloud's ledger."""
    ledger, total = cloud.ledger, cloud.ledger.total
    return Finished(
        makespan=ledger.makespan,
        billed=total.billed_seconds,
        extra=(total.served - total.duplicates) / job.calls - 1,
        throttled=total.throttled,
        completed=ledger.completed,
    )
