"""map_reduce against plain Python; requests; nothing left behind."""

from collections.abc import AsyncIterator
from typing import Any, assert_type

import pytest

import asyncfabric as af
from asyncfabric.bsp import _map_reduce
from tests.bsp import work
from tests.bsp.counting import CountingStore, keys_of

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
@pytest.mark.parametrize("function", [work.square, work.square_later])
async def test_a_sum_of_squares(backend: str, function: Any) -> None:
    async with af.Fabric(backend) as fabric:
        assert await fabric.map_reduce(function, range(40), work.added) == sum(
            n * n for n in range(40)
        )
        assert await fabric.map_reduce(function, [], work.added) == 0
        assert await keys_of(fabric.store) == []


@pytest.mark.parametrize("count", [0, 1, 2, 16, 17, 33, 300])
async def test_a_tree_keeps_the_order(count: int) -> None:
    async with af.Fabric("inline://") as fabric:
        found = await fabric.map_reduce(
            work.wrapped, range(count), work.concatenated, associative=True
        )
        assert found == tuple(range(count))
        assert await keys_of(fabric.store) == []


async def test_as_many_requests_as_there_are_results() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        await fabric.map_reduce(work.square, range(32), work.added)
        assert store.count == {"put": 32, "get": 32, "list": 1, "delete": 32}
        store.count.clear()
        await fabric.map_reduce(work.square, range(32), work.added, associative=True)
        assert _map_reduce.FAN_IN == 16
        assert store.count == {"put": 34, "get": 34, "list": 1, "delete": 34}


async def test_more_than_is_read_ahead() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        found = await fabric.map_reduce(work.big, range(20), work.lengths, memory=700_000)
    assert found == [(number, 300_000) for number in range(20)]
    assert store.most_reading == 2


async def test_a_reduce_that_looks_at_the_first_only() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        assert await fabric.map_reduce(work.square, range(5, 9), work.first_only) == 25
        with pytest.raises(af.RemoteError, match="StopIteration"):
            await fabric.map_reduce(work.square, [], work.first_only)
    assert store.reading == 0


async def test_shared_values_and_async_inputs() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    async with af.Fabric("inline://") as fabric:
        total = await fabric.map_reduce(work.scaled, numbers(), work.added, shared={"factor": 3})
    assert total == 30


async def test_options_ride_on_the_function() -> None:
    @af.function(retry=af.Retry(on=(ZeroDivisionError,), base=0))
    def fragile(number: int) -> int:
        return number // (af.current().attempt - 1)

    async with af.Fabric("inline://") as fabric:
        assert await fabric.map_reduce(fragile, [4], work.added) == 4


any_sum: Any = sum


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
async def test_errors_leave_nothing(backend: str) -> None:
    async with af.Fabric(backend) as fabric:
        with pytest.raises(ZeroDivisionError):
            await fabric.map_reduce(work.fails, range(8), work.first_only)
        with pytest.raises(TypeError, match="unsupported operand"):
            await fabric.map_reduce(work.wrapped, range(8), any_sum)
        with pytest.raises(af.SerializationError, match="result of not_sendable"):
            await fabric.map_reduce(work.not_sendable, range(8), work.added)
        assert await keys_of(fabric.store) == []


async def test_changed_objects_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingStore()
    put = store.put

    async def spoil(key: str, data: Any) -> None:
        await put(key, b"".join(data)[:-1] + b"!")

    monkeypatch.setattr(store, "put", spoil)
    async with af.Fabric("inline://", storage=store) as fabric:
        with pytest.raises(af.IntegrityError, match="changed or damaged"):
            await fabric.map_reduce(work.square, range(3), work.added)


async def test_arguments_that_make_no_sense() -> None:
    coroutine: Any = work.square_later
    number: Any = 3
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(TypeError, match="reduce is a coroutine function"):
            await fabric.map_reduce(work.square, [1], coroutine)
        with pytest.raises(TypeError, match="iterable"):
            await fabric.map_reduce(work.square, number, work.added)
        with pytest.raises(ValueError, match="memory='x'"):
            await fabric.map_reduce(work.square, [], work.added, memory="x")


def halved(number: int) -> float:
    return number / 2


async def test_types() -> None:
    async with af.Fabric("inline://") as fabric:
        assert_type(await fabric.map_reduce(work.wrapped, [1], work.concatenated), tuple[int, ...])
        assert_type(await fabric.map_reduce(work.square_later, [1], work.added), int)
        assert_type(await fabric.map_reduce(work.square, [1], sum), int)
        halves: float = await fabric.map_reduce(halved, [1], sum)  # or 0, says pyright
        assert halves == 0.5
        assert_type(await fabric.map_reduce(work.scaled, [1], sum, shared={"factor": 2}), int)
        assert await fabric.map_reduce(halved, [1, 4], max) == 2.0
