"""A Map is awaited or iterated, starts when it is used, and counts what it does."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import passes, until, untyped
from tests.api.work import echo, fail, odd_fails, square, square_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("function", [square, square_async])
@pytest.mark.parametrize("chunksize", ["auto", 1, 7])
async def test_a_list_and_two_streams(fabric: af.Fabric, function: Any, chunksize: Any) -> None:
    wanted = [x * x for x in range(100)]
    assert await fabric.map(function, range(100), chunksize=chunksize) == wanted
    assert [x async for x in fabric.map(function, range(100), chunksize=chunksize)] == wanted
    unordered = fabric.map(function, range(100), chunksize=chunksize, ordered=False)
    assert sorted([x async for x in unordered]) == wanted


async def test_starmap(fabric: af.Fabric) -> None:
    assert await untyped(fabric).starmap(pow, [(2, 3), (5, 2), (7, 2, 10)]) == [8, 25, 9]
    assert [x async for x in fabric.starmap(pow, _pairs())] == [8, 25]


async def _pairs() -> AsyncIterator[tuple[int, int]]:
    yield 2, 3
    await asyncio.sleep(0)
    yield 5, 2


async def test_a_tuple_is_one_argument_of_map(fabric: af.Fabric) -> None:
    assert await fabric.map(echo, [(1, 2), ()]) == [(1, 2), ()]


async def test_empty_inputs(fabric: af.Fabric) -> None:
    assert await fabric.map(square, []) == []
    assert await fabric.map(square, _nothing()) == []
    assert [x async for x in fabric.map(square, [])] == []
    assert [x async for x in fabric.map(square, _nothing(), ordered=False)] == []


async def _nothing() -> AsyncIterator[int]:
    for _ in ():
        yield 0


async def test_awaited_twice(fabric: af.Fabric) -> None:
    squares = fabric.map(square, range(5))
    assert await squares == await squares == [0, 1, 4, 9, 16]
    shared = fabric.map(square, range(3)).start()
    assert list(await asyncio.gather(shared, shared)) == [[0, 1, 4]] * 2


async def test_awaiting_and_iterating_is_refused(fabric: af.Fabric) -> None:
    awaited = fabric.map(square, range(5))
    await awaited
    with pytest.raises(RuntimeError, match="awaited or iterated, not both"):
        await anext(awaited)
    iterated = fabric.map(square, range(5))
    assert await anext(iterated) == 0
    with pytest.raises(RuntimeError, match="awaited or iterated, not both"):
        await iterated
    assert [x async for x in iterated] == [1, 4, 9, 16]
    completed = fabric.map(square, range(2))
    assert len([call async for call in af.as_completed(completed)]) == 2
    with pytest.raises(RuntimeError, match="awaited or iterated, not both"):
        await completed


async def test_an_ended_stream_stays_ended(fabric: af.Fabric) -> None:
    stream = fabric.map(square, range(2))
    assert [x async for x in stream] == [0, 1]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    failing = fabric.map(fail, range(2))
    with pytest.raises(ValueError, match="failed: 0"):
        await anext(failing)
    with pytest.raises(StopAsyncIteration):
        await anext(failing)


async def test_it_starts_when_it_is_used(fabric: af.Fabric) -> None:
    pulled: list[int] = []

    def inputs() -> "list[int]":
        pulled.append(1)
        return [1, 2]

    class Inputs:
        def __iter__(self) -> object:
            return iter(inputs())

    lazy = untyped(fabric).map(square, Inputs())
    await passes()
    assert (pulled, lazy.stats.read) == ([], 0)
    assert await lazy == [1, 4]
    started = untyped(fabric).map(square, Inputs()).start()
    await until(lambda: started.stats.finished == 2)
    assert started.start() is started
    assert [x async for x in started] == [1, 4]
    assert len(pulled) == 2


async def test_one_dropped_unused_warns(fabric: af.Fabric) -> None:
    with pytest.warns(RuntimeWarning, match="never awaited, iterated or started"):
        untyped(fabric).map(square, range(3))


async def test_one_used_or_closed_does_not_warn(fabric: af.Fabric) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        untyped(fabric).map(square, range(3)).start()
        async with fabric.map(square, range(3)):
            pass
        closed = fabric.map(square, range(3))
        await closed.aclose()
        del closed
        gc.collect()
    with pytest.raises(TypeError):  # what was refused was never a Map
        untyped(fabric).map(3, range(3))
    gc.collect()


async def test_a_closed_one_is_refused(fabric: af.Fabric) -> None:
    closed = fabric.map(square, range(3))
    await closed.aclose()
    await closed.aclose()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        untyped(closed).start()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        await closed


async def test_awaiting_one_that_is_closed_meanwhile_does_not_give_half_a_list(
    fabric: af.Fabric,
) -> None:
    half = fabric.map(square_async, _endless())
    waiter = asyncio.ensure_future(_wait(half))
    await until(lambda: half.stats.finished > 5)
    await half.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await waiter


async def _wait(mapped: "af.Map[int]") -> list[int]:
    return await mapped


async def _endless() -> AsyncIterator[int]:
    x = 0
    while True:
        yield x
        x += 1
        await asyncio.sleep(0)


async def test_stats(fabric: af.Fabric) -> None:
    counted = fabric.map(odd_fails, range(10), return_exceptions=True)
    assert counted.stats == af.MapStats(0, 0, 0, 0, 0)
    await counted
    assert counted.stats == af.MapStats(read=10, finished=5, failed=5, in_flight=0, attempts=10)
    stream = fabric.map(odd_fails, range(10), ordered=False, return_exceptions=True)
    results = [x async for x in stream]
    assert len([x for x in results if isinstance(x, ValueError)]) == 5
    assert stream.stats == counted.stats


async def test_exceptions_in_their_places(fabric: af.Fabric) -> None:
    results = await fabric.map(odd_fails, range(6), return_exceptions=True)
    assert results[::2] == [0, 2, 4]
    assert [str(error) for error in results[1::2]] == ["odd: 1", "odd: 3", "odd: 5"]
    stream = fabric.map(odd_fails, range(6), return_exceptions=True)
    assert list(map(str, [x async for x in stream])) == list(map(str, results))


async def test_a_cancelled_anext_loses_nothing(fabric: af.Fabric) -> None:
    release = asyncio.Event()

    async def inputs() -> AsyncIterator[int]:
        yield 1
        await release.wait()
        yield 2

    async with fabric.map(square, inputs()) as stream:
        assert await anext(stream) == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
        release.set()
        assert [x async for x in stream] == [4]
