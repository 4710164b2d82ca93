"""A short soak; `python -m tests.soak` is the long one."""

import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import asyncfabric as af

from . import census
from .soaking import STEPS, Soak, crashes, timeouts
from .work import double, flaky

pytestmark = pytest.mark.timeout(240)

PROCESSES = 2
GROWTH_BYTES = 1_000_000
"""Of Python's own objects in the driver, between the middle and the end."""


async def test_nothing_grows() -> None:
    """Half of the calls fill what is kept for use; the other half must not need more."""
    directories = census.directories()
    # New processes take most of the time: all_steps has some.
    weights = {step: weight for step, weight in STEPS.items() if step not in {crashes, timeouts}}
    async with af.Fabric(f"local://?processes={PROCESSES}") as fabric:
        await Soak(fabric, 0).all_steps()
        soak = Soak(fabric, 1, weights)
        await soak.until(12_000)
        middle = await soak.census(PROCESSES)
        tracemalloc.start()
        try:
            await soak.until(15_000)
            await soak.census(PROCESSES)
            before = tracemalloc.get_traced_memory()[0]
            await soak.until(24_000)
            end = await soak.census(PROCESSES)
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert census.differences(middle, end) == []
    assert after - before < GROWTH_BYTES
    assert census.directories() == directories


# what it found


async def _growth(fabric: af.Fabric, step: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    soak = Soak(fabric, 0)
    for _ in range(3):
        await step()
    middle = await soak.census(1)
    for _ in range(5):
        await step()
    return census.differences(middle, await soak.census(1))


async def test_parts_of_a_fabric_leave_no_fan_outs() -> None:
    """Options that differ from request to request: each had a fan-out, until the Fabric's end."""
    async with af.Fabric("local://?processes=1") as fabric:

        async def submit() -> None:
            assert await fabric.with_options(timeout=60).submit(double, 1) == 2
            part = fabric.with_options(timeout=61)
            assert [await part.submit(double, x) for x in range(3)] == [0, 2, 4]

        assert await _growth(fabric, submit) == []
        assert fabric._core.bind().runs == []


async def test_a_part_that_is_dropped_keeps_its_calls() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        calls = [fabric.with_options(timeout=60).submit(double, x) for x in range(20)]
        assert list(await af.gather(*calls)) == [2 * x for x in range(20)]


async def test_attempts_that_failed_are_kept_with_their_calls_only() -> None:
    """A service that submits for months has calls that fail at times."""
    retry = af.Retry(attempts=2, base=0.001, on=(Exception,))
    async with af.Fabric("local://?processes=1", retry=retry) as fabric:

        async def submit() -> None:
            call = fabric.submit(flaky, 1)
            assert isinstance(await _error(call), Exception)
            assert [attempt.number for attempt in call.attempts] == [1, 2]
            assert all(attempt.error is not None for attempt in call.attempts)

        assert await _growth(fabric, submit) == []


async def _error(call: af.Call[Any]) -> BaseException | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return error
    return None


async def test_functions_too_large_to_be_known_again_leave_no_fan_outs() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        table = bytes(2_000_000)

        async def submit() -> None:
            def longer(x: int) -> int:
                return x + len(table)

            assert await fabric.submit(longer, 1) == 2_000_001

        assert await _growth(fabric, submit) == []
