"""A program that goes on and on: many small maps, chosen by a seed, most of them disturbed."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import asyncfabric as af
from tests.api.until import until

from . import census
from .work import (
    Refused,
    dies_on_three,
    double,
    double_soon,
    fails_on_sevens,
    flaky,
    hangs,
    large,
    speaks,
    total,
    waits,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .census import Census

    Step = Callable[[af.Fabric, Random], Coroutine[Any, Any, int]]

_NEVER = af.Retry(attempts=1)
_SOON = af.Retry(attempts=3, base=0.001, on=(Refused,))


async def maps(fabric: af.Fabric, random: Random) -> int:
    count = random.randrange(1, 400)
    assert await fabric.map(double, range(count)) == [2 * x for x in range(count)]
    return count


async def maps_side_by_side(fabric: af.Fabric, random: Random) -> int:
    counts = [random.randrange(1, 60) for _ in range(random.randrange(2, 12))]
    got = await asyncio.gather(*(fabric.map(double, range(count)) for count in counts))
    assert [len(each) for each in got] == counts
    return sum(counts)


async def coroutines(fabric: af.Fabric, random: Random) -> int:
    count = random.randrange(1, 300)
    assert await fabric.map(double_soon, range(count)) == [2 * x for x in range(count)]
    return count


async def streams(fabric: af.Fabric, random: Random) -> int:
    """Read a stream, to its end or not, and close it, or only drop it."""
    count, enough = random.randrange(1, 300), random.randrange(1, 300)
    seen = 0
    stream = fabric.map(double, iter(range(count)), ordered=random.random() < 0.5)
    if random.random() < 0.5:
        async for _ in stream:
            seen += 1
            if seen == enough:
                break
    else:
        async with stream:
            async for _ in stream:
                seen += 1
                if seen == enough:
                    break
    del stream
    return seen


async def submits(fabric: af.Fabric, random: Random) -> int:
    """Submit calls; cancel some; some fail."""
    calls = [fabric.submit(fails_on_sevens, x) for x in range(random.randrange(1, 200))]
    await asyncio.sleep(0)
    for call in random.sample(calls, len(calls) // 10):
        call.cancel()
    for x, call in enumerate(calls):
        if call.cancelled():
            continue
        if x % 7:
            assert await call == x
        else:
            with pytest.raises(Refused):
                await call
    return len(calls)


async def submits_that_fail(fabric: af.Fabric, random: Random) -> int:
    """Repeat calls in vain, so that each has attempts that failed before."""
    part = fabric.with_options(retry=_SOON)
    calls = [part.submit(flaky, x) for x in range(random.randrange(1, 20))]
    for call in calls:
        with pytest.raises(Refused):
            await call
        assert [attempt.number for attempt in call.attempts] == [1, 2, 3]
    return 3 * len(calls)


async def failures(fabric: af.Fabric, random: Random) -> int:
    count = random.randrange(8, 200)
    got = await fabric.map(fails_on_sevens, range(count), return_exceptions=True)
    assert sum(isinstance(each, Refused) for each in got) == (count + 6) // 7
    with pytest.raises(Refused):
        await fabric.map(fails_on_sevens, range(count))
    return 2 * count


async def cancels(fabric: af.Fabric, random: Random) -> int:
    """Cancel whoever waits for a map, somewhere on the way."""
    count = random.randrange(1, 300)
    work = asyncio.ensure_future(_gathered(fabric, count))
    for _ in range(random.randrange(30)):
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait([work])
    return count // 2


async def _gathered(fabric: af.Fabric, count: int) -> None:
    await fabric.map(double, range(count))


async def cancels_that_wait(fabric: af.Fabric, random: Random) -> int:
    """Cancel coroutine calls that would wait for ever."""
    calls = [fabric.submit(waits, x) for x in range(random.randrange(1, 30))]
    for _ in range(random.randrange(20)):
        await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    return len(calls)


async def values(fabric: af.Fabric, random: Random) -> int:
    """Let values go through the store, and large ones through sockets."""
    size = random.randrange(50_000, 2_000_000)
    assert await fabric.map(large, [size]) == [bytes(size)]
    table = await fabric.put([1, 2])
    assert await fabric.map(total, [1, 2], shared={"table": table}) == [4, 5]
    return 3


async def talks(fabric: af.Fabric, random: Random) -> int:
    call = fabric.submit(speaks, 3)
    assert await call == 3
    assert call.logs == "word 3\n"
    return 1


async def crashes(fabric: af.Fabric, random: Random) -> int:
    """Let a call kill its worker: the others are run all the same."""
    got = await fabric.with_options(retry=_NEVER).map(
        dies_on_three, range(6), return_exceptions=True
    )
    assert [x for x, each in enumerate(got) if isinstance(each, af.WorkerCrashed)] == [3]
    return 6


async def timeouts(fabric: af.Fabric, random: Random) -> int:
    slow = fabric.with_options(timeout=0.02, retry=_NEVER)
    call = slow.submit(hangs, 1)
    with pytest.raises(af.AttemptTimeout):
        await call
    with suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await fabric.with_options(timeout=0.02, retry=_NEVER).map(hangs, [1])
    return 2


STEPS: dict[Step, int] = {
    maps: 300,
    maps_side_by_side: 120,
    coroutines: 60,
    streams: 120,
    submits: 60,
    submits_that_fail: 20,
    failures: 40,
    cancels: 60,
    cancels_that_wait: 5,
    values: 10,
    talks: 10,
    crashes: 8,
    timeouts: 4,
}
"""What is done, and how often in proportion. Crashes and timeouts cost a new process each."""


ON_LAMBDA = {step: weight for step, weight in STEPS.items() if step is not cancels_that_wait}
"""The same on Lambda, where a call that waits for ever holds its worker for 15 minutes."""


class Soak:
    """So many calls on one Fabric, and a census at times.

    Args:
        fabric: an open one.
        seed: of what is done.
        weights: how often each step is done, in proportion.
    """

    def __init__(self, fabric: af.Fabric, seed: int, weights: dict[Step, int] = STEPS) -> None:
        self.calls = 0
        self.done: dict[str, int] = {step.__name__: 0 for step in weights}
        self._fabric = fabric
        self._random = Random(seed)
        self._weights = weights

    async def all_steps(self) -> None:
        """Do everything once."""
        for step in self._weights:
            await self._do(step)

    async def until(self, calls: int) -> None:
        """Go on until there were so many calls."""
        steps, weights = list(self._weights), list(self._weights.values())
        while self.calls < calls:
            await self._do(self._random.choices(steps, weights)[0])

    async def _do(self, step: Step) -> None:
        self.calls += await step(self._fabric, self._random)
        self.done[step.__name__] += 1

    async def census(self, processes: int) -> Census:
        """Count what there is, once everything has come to rest and all workers are back."""
        dispatcher = self._fabric._core.bind()
        await self._fabric.warm(processes)
        await until(
            lambda: not dispatcher.in_flight and all(run.at_rest for run in dispatcher.runs)
        )
        # A few calls in every worker: what came last before would still be held by somebody.
        await self._fabric.map(double, range(10))
        for _ in range(3):  # what is collected may tell the loop to let go of more
            gc.collect()
            for _ in range(20):
                await asyncio.sleep(0)
        return census.take(self.calls)
