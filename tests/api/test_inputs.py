"""Inputs are pulled, never pushed: endless ones, asynchronous ones, ones that wait for results."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import passes, take, until, untyped
from tests.api.work import echo, square, square_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

chunks = pytest.mark.parametrize("chunksize", ["auto", 1, 8])
orders = pytest.mark.parametrize("ordered", [True, False])


async def test_sync_iterables_of_many_kinds(fabric: af.Fabric) -> None:
    assert await fabric.map(square, {1: 0, 2: 0}) == [1, 4]
    assert await fabric.map(echo, "abc") == ["a", "b", "c"]
    assert await fabric.map(square, (x for x in range(3))) == [0, 1, 4]
    assert await fabric.map(square, _ByIndex()) == [0, 1, 4]


class _ByIndex:
    def __getitem__(self, index: int) -> int:
        if index > 2:
            raise IndexError
        return index

    def __iter__(self) -> Iterator[int]:  # for the type checkers
        return iter([self[0], self[1], self[2]])


@chunks
@orders
async def test_an_endless_iterator(fabric: af.Fabric, chunksize: Any, ordered: bool) -> None:
    taken: list[int] = []
    async for value in fabric.map(square, itertools.count(), chunksize=chunksize, ordered=ordered):
        taken.append(value)
        if len(taken) == 1000:
            break
    assert len(set(taken)) == 1000
    if ordered:
        assert taken == [x * x for x in range(1000)]


@chunks
@pytest.mark.parametrize("pause", [True, False])
async def test_an_endless_async_generator(fabric: af.Fabric, chunksize: Any, pause: bool) -> None:
    async def inputs() -> AsyncIterator[int]:
        for x in itertools.count():
            yield x
            if pause:
                await asyncio.sleep(0)

    taken: list[int] = []
    async with fabric.map(square, inputs(), chunksize=chunksize) as stream:
        async for value in stream:
            taken.append(value)
            if len(taken) == 300:
                break
    assert taken == [x * x for x in range(300)]


@chunks
@orders
@pytest.mark.parametrize("function", [square, square_async])
async def test_ask_and_tell(
    fabric: af.Fabric, chunksize: Any, ordered: bool, function: Any
) -> None:
    """An optimiser that must see the results so far before it can say what to try next."""
    results: list[int] = []
    told = asyncio.Event()

    async def ask() -> AsyncIterator[int]:
        asked = 0
        for generation in range(5):
            for _ in range(3):
                yield generation
                asked += 1
            while len(results) < asked:
                told.clear()
                await told.wait()

    async for result in fabric.map(function, ask(), chunksize=chunksize, ordered=ordered):
        results.append(result)
        told.set()
    assert results == [generation**2 for generation in range(5) for _ in range(3)]


async def test_ask_and_tell_by_submit(fabric: af.Fabric) -> None:
    """Inputs that are themselves results of the same Fabric."""

    async def inputs() -> AsyncIterator[int]:
        x = 2
        for _ in range(4):
            x = await fabric.submit(square, x)
            yield x

    assert await fabric.map(square, inputs()) == [16, 256, 65536, 65536**2]


@pytest.mark.parametrize("buffersize", [1, 2, 5, 40])
@pytest.mark.parametrize("asynchronous", [True, False])
@orders
async def test_an_exact_buffer(
    fabric: af.Fabric, buffersize: int, asynchronous: bool, ordered: bool
) -> None:
    read = 0

    def count() -> Iterator[int]:
        nonlocal read
        for x in range(60):
            read += 1
            yield x

    async def count_async() -> AsyncIterator[int]:
        for x in count():
            yield x

    inputs = count_async() if asynchronous else count()
    async with fabric.map(square, inputs, buffersize=buffersize, ordered=ordered) as stream:
        for taken in range(60):
            await until(lambda: stream.stats.finished == read)
            await passes()
            assert read <= taken + buffersize
            await anext(stream)
    assert read == 60


async def test_a_stream_stalls_at_its_buffer(fabric: af.Fabric) -> None:
    read: list[int] = []
    async with fabric.map(square, _record(itertools.count(), read), buffersize=7) as stream:
        await until(lambda: stream.stats.finished == 7)
        await passes(100)
        assert stream.stats == af.MapStats(read=7, finished=7, failed=0, in_flight=0, attempts=7)
        assert await anext(stream) == 0
        await until(lambda: stream.stats.finished == 8)
        assert len(read) == 8


async def test_the_adaptive_buffer_is_bounded_by_count(fabric: af.Fabric) -> None:
    read: list[int] = []
    async with fabric.map(square, _record(itertools.count(), read)) as stream:
        last = -1
        while stream.stats.finished != last:
            last = stream.stats.finished
            await until(lambda: stream.stats.in_flight == 0 and stream.stats.read > 0)
            await passes(200)
        assert len(read) <= 65536 + 4096 * 8


async def test_the_adaptive_buffer_is_bounded_by_bytes(fabric: af.Fabric) -> None:
    """64 MiB of results at 4 MiB each: a few dozen, where thousands of small ones would fit."""
    async with fabric.map(_blob, itertools.count(), chunksize=1) as stream:
        for _ in range(10):
            await anext(stream)
        last = -1
        while stream.stats.finished != last:
            last = stream.stats.finished
            await until(lambda: stream.stats.in_flight == 0)
            await passes(200)
        assert last - 10 <= 40


def _blob(x: int) -> bytes:
    return bytes(4 * 1024 * 1024)


def _record(items: Iterator[int], read: list[int]) -> Iterator[int]:
    for item in items:
        read.append(item)
        yield item


# -- inputs that raise ----------------------------------------------------------------------------


def _raise_at(count: int) -> Iterator[int]:
    yield from range(count)
    raise KeyError("no more")


async def _raise_at_async(count: int) -> AsyncIterator[int]:
    for x in _raise_at(count):
        yield x
        await asyncio.sleep(0)


@pytest.mark.parametrize("make", [_raise_at, _raise_at_async])
@pytest.mark.parametrize("count", [0, 1, 10, 200])
async def test_an_input_that_raises(fabric: af.Fabric, make: Any, count: int) -> None:
    with pytest.raises(KeyError, match="no more") as caught:
        await fabric.map(square, make(count))
    assert not hasattr(caught.value, "__notes__")
    taken: list[int] = []
    with pytest.raises(KeyError, match="no more"):
        await take(fabric.map(square, make(count)), taken)
    assert taken == [x * x for x in range(len(taken))]
    assert len(taken) <= count
    with pytest.raises(KeyError, match="no more"):
        await fabric.map(square, make(count), return_exceptions=True)
    with pytest.raises(KeyError, match="no more"):
        async for _ in af.as_completed(fabric.map(square, make(count))):
            pass
    assert await fabric.submit(square, 3) == 9


async def test_an_input_that_raises_at_its_start(fabric: af.Fabric) -> None:
    class Broken:
        def __iter__(self) -> Iterator[int]:
            raise OSError("no such table")

    class BrokenLater:
        def __aiter__(self) -> AsyncIterator[int]:
            raise OSError("no such table")

    for broken in (Broken(), BrokenLater()):
        with pytest.raises(OSError, match="no such table"):
            await fabric.map(square, broken)
    with pytest.raises(OSError, match="no such table"):
        untyped(fabric).map(square, Broken()).start()


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, GeneratorExit])
async def test_an_input_that_raises_no_exception(fabric: af.Fabric, kind: Any) -> None:
    def inputs() -> Iterator[int]:
        yield 1
        raise kind

    async def inputs_async() -> AsyncIterator[int]:
        yield 1
        raise kind

    with pytest.raises(kind):
        await fabric.map(square, inputs())
    with pytest.raises(kind):
        await fabric.map(square, inputs_async())
    assert await fabric.submit(square, 3) == 9


# -- the loop goes on -----------------------------------------------------------------------------


async def test_a_slow_iterator_is_read_in_slices(fabric: af.Fabric) -> None:
    """Reading 200 inputs of 2 ms each holds the loop up for a few of them at most."""
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    longest, since, seen = 0, 0, 0

    def slow() -> Iterator[int]:
        nonlocal longest, since, seen
        for x in range(200):
            since = since + 1 if beats == seen else 1
            seen, longest = beats, max(longest, since)
            time.sleep(0.002)
            yield x

    heart = asyncio.ensure_future(beat())
    await fabric.map(square, range(5000))  # its pace asks for large slices
    assert await fabric.map(square, slow()) == [x * x for x in range(200)]
    heart.cancel()
    assert longest <= 8


async def test_a_huge_iterator_does_not_hold_the_loop_up(fabric: af.Fabric) -> None:
    beats = 0

    async def beat() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0)

    heart = asyncio.ensure_future(beat())
    assert sum(await fabric.map(square, range(20_000))) == sum(x * x for x in range(20_000))
    heart.cancel()
    assert beats > 5
