# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a service takes: found out once for all maps of a Fabric, and again when it changes."""

import asyncio
from collections import Counter
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.reporting import Event, InvocationLaunched
from asyncfabric.testing import Fault, LambdaFront, Limits
from tests.aws.backend.fronts import cloud
from tests.aws.backend.test_faults import reserve
from tests.aws.backend.test_limits import meet

pytestmark = pytest.mark.asyncio(loop_scope="module")


def brief(x: int) -> int:
    """Take a few milliseconds."""
    import time

    time.sleep(0.003)
    return x


def longer(x: int) -> int:
    """Take so long that little else counts."""
    import time

    time.sleep(0.02)
    return x


async def test_a_limit_that_is_cut_to_a_fifth_loses_nothing() -> None:
    async with cloud(concurrency=5) as (front, fabric):
        await fabric.warm(5)
        requests, executions = front.counters.requests, front.counters.executions
        calls: list[Any] = []
        async for call in af.as_completed(fabric.map(brief, range(200), chunksize=1)):
            calls.append(call)
            if len(calls) == 50:
                reserve(front, fabric, 1)
        assert sorted(call.result() for call in calls) == list(range(200))
        assert all([each.number for each in call.attempts] == [1] for call in calls)
        # What is executed: each call once, and the question for its modules.
        assert front.counters.executions - executions == 201
        # What is refused costs neither an attempt nor money; still it is little.
        assert front.counters.requests - requests <= 1.3 * 200


async def test_fifty_maps_share_one_limit() -> None:
    """It is found out once."""
    maps, calls, limit = 50, 12, 4
    async with cloud(concurrency=40, limits=Limits(concurrency=limit)) as (front, fabric):
        work = [fabric.map(brief, range(calls), chunksize=1) for _ in range(maps)]
        for found in await asyncio.gather(*work):
            assert found == list(range(calls))
        assert front.counters.peak == limit
        # The first wave, and one in some twenty for probing. (A limiter for each map would draw as
        # many first waves as there are maps.)
        assert front.counters.executions == maps * calls + 1  # and the question for modules
        assert 1 <= front.counters.throttles <= 40 + 0.1 * maps * calls


async def test_weights_hold_from_end_to_end(front: LambdaFront) -> None:
    launched: list[str] = []

    def watch(event: Event, /) -> None:
        if isinstance(event, InvocationLaunched):
            launched.append(event.job)

    async with af.Fabric(front.backend, hedge=None, max_concurrency=3) as fabric:
        await fabric.map(longer, range(30), chunksize=1)  # how long it takes is known then
        heavy = fabric.with_options(weight=3.0)
        maps = [each.map(longer, range(75), chunksize=1) for each in (heavy, fabric)]
        fabric._core.observers.append(watch)
        assert await asyncio.gather(*maps) == [list(range(75))] * 2
    # While both have something to launch; that of the heavy one ends at a hundred. Shares are those
    # of the time that workers took, which varies.
    first, second = Counter(launched[:80]).most_common()
    assert 1.8 <= first[1] / second[1] <= 9.0


@pytest.mark.parametrize(
    ("reason", "room"),
    [
        ("FunctionInvocationRateLimitExceeded", 4),
        ("ReservedFunctionInvocationRateLimitExceeded", 4),
        ("CallerRateLimitExceeded", 4),
    ],
)
async def test_a_rate_that_is_exceeded_takes_no_room(
    front: LambdaFront, tmp_path: Any, reason: str, room: int
) -> None:
    """All four begin at once although a launch was refused for its rate."""
    async with af.Fabric(front.backend, hedge=None, max_concurrency=4, timeout=20) as fabric:
        await fabric.submit(abs, -1)
        throttles = front.counters.throttles
        front.inject([Fault.throttle(reason=reason)])
        assert await fabric.map(meet(tmp_path, room), range(room), chunksize=1) == list(range(room))
        assert front.counters.throttles - throttles == 1


async def test_a_rate_is_kept() -> None:
    """25 a second for each of 4, which are asked for much faster at first."""
    limits = Limits(concurrency=4, requests_per_environment=25.0)
    async with cloud(concurrency=4, limits=limits) as (front, fabric):
        found = await fabric.map(lambda x: x, range(200), chunksize=1)
        assert found == list(range(200))
        assert 1 <= front.counters.throttles <= 0.25 * 200
        assert front.counters.executions == 200


async def test_an_environments_ramp_is_a_throttle_like_others() -> None:
    """It takes only so many new ones, and what was refused comes to those that are there."""
    limits = Limits(concurrency=50, environments_at_once=3, environments_per_10_seconds=1.0)
    async with cloud(concurrency=10, limits=limits) as (front, fabric):
        calls = [call async for call in af.as_completed(fabric.map(brief, range(30), chunksize=1))]
        assert sorted(call.result() for call in calls) == list(range(30))
        assert all(len(call.attempts) == 1 for call in calls)
        assert front.counters.environments <= 5
        assert front.counters.throttles <= 10 + 0.4 * 30
