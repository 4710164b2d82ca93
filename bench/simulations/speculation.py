"""Another system's policy on the same cloud: tasks and copies submitted one by one.

Everything but the policy is asyncfabric's: each task and each copy is one `fabric.submit`, made
when a place is free, waiting tasks first. A copy that lost can't be stopped on Lambda: it keeps its
place to its end, and is billed.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import insort
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from asyncfabric import InvocationError
from asyncfabric.testing import SimulatedCloud
from bench.simulations.jobs import account, check, quiet

if TYPE_CHECKING:
    import asyncfabric as af
    from asyncfabric.testing import Profile
    from bench.simulations.jobs import Finished, Job
    from bench.simulations.rules import Rule


def run_by_rule(job: Job, profile: Profile, seed: int, rule: Rule) -> Finished:
    """Run a job with another system's rule for copies."""
    cloud = SimulatedCloud(seed, profile)

    async def main() -> list[int]:
        async with cloud.fabric(max_concurrency=job.slots, hedge=None) as fabric:
            stage = _Stage(fabric, job, rule)
            stages.append(stage)
            return await stage.run()

    stages: list[_Stage] = []
    check(job, cloud.run(main))
    # To the cloud a copy is another call; what counts is the first answer to each task.
    completed = stages[0].completed
    return account(job, cloud)._replace(makespan=completed[-1], completed=completed)


class _Stage:
    """The tasks of a job."""

    def __init__(self, fabric: af.Fabric, job: Job, rule: Rule) -> None:
        self._fabric = fabric
        self._rule = rule
        self._work = partial(quiet, job.seconds)
        self._free = job.slots
        self._tasks = job.calls
        self._waiting = deque(range(job.calls))
        self._copies: deque[int] = deque()
        self._copied: set[int] = set()
        self._running: dict[int, float] = {}
        self._durations: list[float] = []
        self._results: dict[int, int] = {}
        self.completed = array("d")
        self._started = 0
        self._news = False
        self._looked = 0.0
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> list[int]:
        """Run them all, and return their results in order."""
        self._launch()
        self._look()
        await self._end
        return [self._results[index] for index in range(self._tasks)]

    def _launch(self) -> None:
        while self._free:
            if self._waiting:
                index = self._waiting.popleft()
                self._started += 1
                self._running.setdefault(index, self._loop.time())
            elif self._copies:
                index = self._copies.popleft()
                if index in self._results:
                    continue
            else:
                return
            self._free -= 1
            call = self._fabric.submit(self._work, index)
            call.add_done_callback(partial(self._ended, index, self._loop.time()))

    def _ended(self, index: int, began: float, call: asyncio.Future[int]) -> None:
        if call.cancelled():
            return  # the Fabric was closed: all results are there
        self._free += 1
        error = call.exception()
        if error is None and index not in self._results:
            self._results[index] = call.result()
            self.completed.append(self._loop.time())
            self._running.pop(index, None)
            insort(self._durations, self._loop.time() - began)
            self._news = True
            if len(self._results) == self._tasks and not self._end.done():
                self._end.set_result(None)
        elif isinstance(error, InvocationError) and index not in self._results:
            self._waiting.append(index)
        if not self._end.done():
            self._launch()

    def _look(self) -> None:
        """Find what has run for too long."""
        if self._end.done():
            return
        now, rule = self._loop.time(), self._rule
        if self._news or now - self._looked >= rule.patience:
            self._news, self._looked = False, now
            threshold = rule.threshold(self._started, self._tasks, self._durations)
            if threshold is not None:
                late = [
                    index
                    for index, began in self._running.items()
                    if now - began > threshold and index not in self._copied
                ]
                self._copied.update(late)
                self._copies.extend(late)
                self._launch()
        self._loop.call_later(rule.interval, self._look)
