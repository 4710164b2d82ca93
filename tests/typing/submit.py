"""What `Fabric.submit`, `gather` and `as_completed` are typed as. Checked, never run."""

# mypy: disable-error-code="unused-awaitable"

from collections.abc import AsyncIterator, Callable
from typing import assert_type

import asyncfabric as af
from tests.typing.functions import Model, add, doubled, fetch, make, name, nothing, pair, price


async def submit(fabric: af.Fabric) -> None:
    assert_type(fabric.submit(price, 7), af.Call[float])
    assert_type(fabric.submit(price, 7, volatility=0.3), af.Call[float])
    assert_type(await fabric.submit(price, 7), float)
    assert_type(fabric.submit(price, 7).result(), float)
    assert_type(fabric.submit(nothing), af.Call[None])
    assert_type(await fabric.submit(pair, 1), tuple[int, str])
    assert_type(await fabric.submit(make), Callable[[int], str])


async def submit_coroutine_function(fabric: af.Fabric) -> None:
    """The result is what the coroutine returns, not the coroutine."""
    assert_type(fabric.submit(fetch, "x"), af.Call[bytes])
    assert_type(await fabric.submit(fetch, url="x"), bytes)


async def submit_other_callables(fabric: af.Fabric) -> None:
    assert_type(await fabric.submit(lambda: 3), int)
    assert_type(await fabric.submit(doubled, 3), float)
    assert_type(await fabric.submit(Model(2.0).predict, 3), float)
    assert_type(await fabric.submit(Model(2.0), 3), complex)
    assert_type(await fabric.submit(Model, 2.0), Model)


async def gather(fabric: af.Fabric) -> None:
    one, two, three = fabric.submit(price, 1), fabric.submit(name, 2), fabric.submit(fetch, "3")
    assert_type(await af.gather(one), tuple[float])
    assert_type(await af.gather(one, two), tuple[float, str])
    assert_type(await af.gather(one, two, three), tuple[float, str, bytes])
    assert_type(await af.gather(one, two, three, one), tuple[float, str, bytes, float])
    assert_type(
        await af.gather(one, two, return_exceptions=True), tuple[float | Exception, str | Exception]
    )
    many = [one, one]
    assert_type(await af.gather(*many), tuple[float, ...])


async def gather_of_maps_and_coroutines(fabric: af.Fabric) -> None:
    assert_type(
        await af.gather(fabric.map(price, [1]), fetch("x"), fabric.submit(name, 1)),
        tuple[list[float], bytes, str],
    )


async def as_completed(fabric: af.Fabric) -> None:
    calls = af.as_completed([fabric.submit(price, 1), fabric.submit(add, 1, 2.0)])
    assert_type(calls, AsyncIterator[af.Call[float]])
    async for call in calls:
        assert_type(call, af.Call[float])
        assert_type(call.result(), float)
        assert_type(call.index, int)
        assert_type(call.input, object)
        assert_type(call.attempts, list[af.Attempt])
        assert_type(call.logs, str)
    async for other in af.as_completed(fabric.map(name, [1])):
        assert_type(other.result(), str)
