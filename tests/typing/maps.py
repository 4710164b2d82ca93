"""What `Fabric.map` and `Fabric.starmap` are typed as. Checked, never run."""

# mypy: disable-error-code="unused-awaitable"

from typing import assert_type

import asyncfabric as af
from tests.typing.functions import Model, add, doubled, fetch, later, name, price, seeds, simulate


async def awaited(fabric: af.Fabric) -> None:
    assert_type(fabric.map(price, [1, 2]), af.Map[float])
    assert_type(await fabric.map(price, [1, 2]), list[float])
    assert_type(await fabric.map(name, seeds()), list[str])
    assert_type(await fabric.map(name, later()), list[str])
    assert_type(await fabric.map(lambda x: x + 1, range(3)), list[int])
    assert_type(await fabric.map(doubled, range(3)), list[float])
    assert_type(await fabric.map(Model(1.0), range(3)), list[complex])


async def coroutine_functions(fabric: af.Fabric) -> None:
    assert_type(fabric.map(fetch, ["x"]), af.Map[bytes])
    assert_type(await fabric.map(fetch, ["x"]), list[bytes])


async def iterated(fabric: af.Fabric) -> None:
    async for value in fabric.map(price, seeds()):
        assert_type(value, float)
    async for value in fabric.map(price, later(), ordered=False, buffersize=10, chunksize="auto"):
        assert_type(value, float)
    async with fabric.map(name, later()) as stream:
        assert_type(stream, af.Map[str])
        assert_type(await anext(stream), str)
    assert_type([text async for text in fabric.map(fetch, ["x"])], list[bytes])


async def with_exceptions(fabric: af.Fabric) -> None:
    results = await fabric.map(price, [1], return_exceptions=True)
    assert_type(results, list[float | Exception])
    async for result in fabric.map(fetch, ["x"], return_exceptions=True):
        assert_type(result, bytes | Exception)
    assert_type(await fabric.map(price, [1], return_exceptions=False), list[float])


async def by_reference(fabric: af.Fabric) -> None:
    refs = await fabric.map(price, [1], results="ref")
    assert_type(refs, list[af.Ref[float]])
    assert_type(await refs[0].get(), float)
    assert_type(await fabric.map(fetch, ["x"], results="ref"), list[af.Ref[bytes]])
    assert_type(
        await fabric.map(price, [1], results="ref", return_exceptions=True),
        list[af.Ref[float] | Exception],
    )
    assert_type(await fabric.map(price, [1], results="value"), list[float])


async def shared(fabric: af.Fabric) -> None:
    """Shared values arrive as keyword arguments."""
    market = [1.0]
    assert_type(await fabric.map(simulate, [1], shared={"market": market}), list[float])
    ref = await fabric.put(market)
    assert_type(ref, af.Ref[list[float]])
    assert_type(await ref.get(), list[float])
    assert_type(await fabric.map(simulate, [1], shared={"market": ref}, seed=1), list[float])


async def starmap(fabric: af.Fabric) -> None:
    assert_type(fabric.starmap(add, [(1, 2.0)]), af.Map[float])
    assert_type(await fabric.starmap(add, zip([1], [2.0], strict=True)), list[float])
    assert_type(
        await fabric.starmap(add, [(1, 2.0)], return_exceptions=True), list[float | Exception]
    )
    assert_type(await fabric.starmap(add, [(1, 2.0)], results="ref"), list[af.Ref[float]])
    assert_type(await fabric.starmap(fetch, [("x",)]), list[bytes])


async def afterwards(fabric: af.Fabric) -> None:
    numbers = fabric.map(price, [1, 2])
    assert_type(numbers.start(), af.Map[float])
    assert_type(numbers.finished(), dict[int, float])
    assert_type(numbers.failed(), dict[int, BaseException])
    assert_type(numbers.retry(), af.Map[float])
    assert_type(await numbers.retry(), list[float])
    await numbers.aclose()
