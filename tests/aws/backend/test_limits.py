# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""How many invocations run at a time, and that nothing is lost when much goes wrong."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import Faults, LambdaFront, Limits
from tests.aws.backend.fronts import cloud

pytestmark = pytest.mark.asyncio(loop_scope="module")


def meet(directory: Path, count: int) -> Any:
    """Return a function whose calls wait until so many have begun."""
    place = str(directory)

    def work(x: int) -> int:
        import os
        import time

        open(os.path.join(place, f"{x}.here"), "w").close()  # noqa: PTH118, PTH123
        while sum(each.endswith(".here") for each in os.listdir(place)) < count:  # noqa: PTH208
            time.sleep(0.005)
        return x

    return work


async def test_max_concurrency_is_never_exceeded(front: LambdaFront) -> None:
    async with af.Fabric(front.backend, hedge=None, max_concurrency=3) as fabric:
        peaks = []

        def watch(_: Any) -> None:
            peaks.append(front.counters.running)

        fabric._core.observers.append(watch)
        maps = [
            fabric.map(lambda x: x, range(100), chunksize=1),
            fabric.map(lambda x: -x, range(100)),
            fabric.starmap(lambda x, y: x + y, [(1, 2)] * 50, chunksize=2),
        ]
        calls = [fabric.submit(lambda x: x * 2, x) for x in range(50)]
        found = await asyncio.gather(*maps, *calls)
    assert found[0] == list(range(100))
    assert found[1] == [-x for x in range(100)]
    assert found[2] == [3] * 50
    assert found[3:] == [2 * x for x in range(50)]
    assert 1 <= max(peaks) <= 3


async def test_max_concurrency_is_reached(tmp_path: Path) -> None:
    """All are held open at once: each waits for the last."""
    async with cloud(concurrency=6, options={"timeout": 50}) as (front, fabric):
        assert await fabric.map(meet(tmp_path, 6), range(6)) == list(range(6))
        assert front.counters.peak == 6


async def test_an_account_with_less_than_max_concurrency() -> None:
    async with cloud(concurrency=50, limits=Limits(concurrency=5)) as (front, fabric):
        requests = front.counters.requests
        found = await fabric.map(lambda x: x, range(200), chunksize=1)
        assert found == list(range(200))
        assert front.counters.peak == 5
        throttles = front.counters.throttles
        # The first wave finds the limit, then it is probed once in some twenty answers.
        assert 1 <= throttles < 50 + 0.15 * 200
        assert front.counters.requests - requests == 200 + throttles


async def test_it_comes_back_to_the_limit(tmp_path: Path) -> None:
    async with cloud(concurrency=8, options={"timeout": 20}) as (front, fabric):
        await fabric.warm(8)
        front.inject(Faults(seed=2, throttled=0.5))
        await fabric.map(lambda x: x, range(15), chunksize=1)
        assert front.counters.throttles > 5
        front.inject(None)
        # With 1 at a time to begin with, a hundred answers lead back to 8: each is worth 0.05 and,
        # with every round, more.
        await fabric.map(lambda x: x, range(200), chunksize=1)
        assert await fabric.map(meet(tmp_path, 8), range(8), chunksize=1) == list(range(8))
        assert front.counters.peak == 8


@pytest.mark.parametrize("share", [0.05, 0.2])
async def test_a_share_of_throttles(front: LambdaFront, share: float) -> None:
    throttles = front.counters.throttles
    front.inject(Faults(seed=3, throttled=share))
    async with af.Fabric(front.backend, hedge=None, max_concurrency=4) as fabric:
        calls = [
            call
            async for call in af.as_completed(fabric.map(lambda x: x, range(2000), chunksize=8))
        ]
    assert sorted(call.result() for call in calls) == list(range(2000))
    assert all(len(call.attempts) == 1 for call in calls)
    assert front.counters.throttles - throttles > 250 * share / 2


async def test_nothing_is_lost(front: LambdaFront) -> None:
    """Thousands of calls, one an invocation, with all that can go wrong."""
    requests, errors = front.counters.requests, front.counters.function_errors
    faults = Faults(seed=5, throttled=0.05, errors=0.02, lost=0.01, reset=0.01)
    front.inject(faults)
    retry = af.Retry(attempts=6, base=0.001)
    async with af.Fabric(front.backend, hedge=None, max_concurrency=4, retry=retry) as fabric:
        found = await fabric.map(lambda x: x * x, range(5000), chunksize=1)
        assert fabric._core.bind().in_flight == 0
        backend: Any = fabric._core.backend
        assert not backend._held
    assert found == [x * x for x in range(5000)]
    numbers = range(1 + requests, 1 + front.counters.requests)
    faulty = [fault for number in numbers if (fault := faults(number)) is not None]
    assert len(faulty) > 300
    # Every request is accounted for: a call's answer, or a fault that was made up for.
    assert front.counters.requests - requests == 5000 + len(faulty)
    assert front.counters.function_errors == errors


async def test_nothing_is_lost_of_what_runs_twice() -> None:
    faults = Faults(seed=6, throttled=0.1, errors=0.05, lost=0.05, duplicated=0.1, reset=0.05)
    options = {"retry": af.Retry(attempts=8, base=0.001)}
    async with cloud(concurrency=3, faults=faults, options=options) as (front, fabric):
        done = af.as_completed(fabric.map(lambda x: -x, range(600), chunksize=2))
        seen = [(call.index, call.result()) async for call in done]
        assert sorted(seen) == [(x, -x) for x in range(600)]
        await front.until(lambda counters: counters.running == 0)


async def test_a_stream_has_the_chunks_it_is_told(front: LambdaFront) -> None:
    executions = front.counters.executions
    async with af.Fabric(front.backend, hedge=None, max_concurrency=2) as fabric:
        stream = fabric.map(lambda x: x, range(40), chunksize=10)
        assert [x async for x in stream] == list(range(40))
    assert front.counters.executions - executions == 4
