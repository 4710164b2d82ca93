"""Many objects at once: what is bounded, and what happens to those who leave early."""

import asyncio
import gc
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from asyncfabric_storage import (
    Data,
    LocalStore,
    MemoryStore,
    ObjectNotFound,
    ObjectStore,
    open_store,
)


class Watched(MemoryStore):
    """A memory store which waits for a while in every operation, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.in_flight = self.high_water = self.tasks = self.reads = 0

    async def _operate(self) -> None:
        self.in_flight += 1
        self.high_water = max(self.high_water, self.in_flight)
        self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        try:
            await asyncio.sleep(0)
        finally:
            self.in_flight -= 1

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        self.reads += 1
        await self._operate()
        return await super().get(key, start=start, end=end)

    async def put(self, key: str, data: Data) -> None:
        await self._operate()
        await super().put(key, data)

    async def delete(self, key: str) -> None:
        await self._operate()
        await super().delete(key)


def names(count: int) -> Iterator[str]:
    return (f"k/{number}" for number in range(count))


@pytest.mark.parametrize("concurrency", [1, 7, 64])
async def test_in_flight_are_as_many_as_asked_for(concurrency: int) -> None:
    store = Watched()
    assert await store.put_many(((key, b"") for key in names(500)), concurrency=concurrency) == 500
    assert (store.high_water, store.tasks) == (concurrency, concurrency + 1)
    store.high_water = store.tasks = 0
    count = 0
    async for _ in store.get_many(names(500), concurrency=concurrency):
        count += 1
    assert (count, store.high_water, store.tasks) == (500, concurrency, concurrency + 1)
    store.high_water = store.tasks = 0
    assert await store.delete_many(names(500), concurrency=concurrency) == 500
    assert (store.high_water, store.tasks) == (concurrency, concurrency + 1)


async def test_few_items_take_few_tasks() -> None:
    store = Watched()
    await store.put_many([("a", b""), ("b", b"")])
    assert store.tasks <= 4


async def test_100_000_objects_in_memory() -> None:
    store = MemoryStore()
    most = 0

    def watched(keys: Iterator[str]) -> Iterator[str]:
        nonlocal most
        for number, key in enumerate(keys):
            if number % 1000 == 0:
                most = max(most, len(asyncio.all_tasks()))
            yield key

    assert await store.put_many((key, key.encode()) for key in watched(names(100_000))) == 100_000
    seen: set[str] = set()
    async for key, data in store.get_many(watched(names(100_000))):
        assert data == key.encode()
        seen.add(key)
    assert len(seen) == 100_000
    assert most <= 65
    assert len([info async for info in store.list("k/")]) == 100_000
    assert await store.delete_many(watched(names(100_000))) == 100_000
    assert [info async for info in store.list()] == []
    assert most <= 65
    assert len(asyncio.all_tasks()) == 1


async def test_100_000_objects_of_a_directory(tmp_path: Path) -> None:
    """20,000 are written and deleted, and 60,000 read; the file system takes the most of it."""
    store = LocalStore(tmp_path)
    most = 0
    directories = 100  # as a file system likes it

    def keys(count: int) -> Iterator[str]:
        nonlocal most
        for number in range(count):
            if number % 1000 == 0:
                most = max(most, len(asyncio.all_tasks()))
            yield f"{number % directories}/{number % 20_000}"

    assert await store.put_many((key, key.encode()) for key in keys(20_000)) == 20_000
    count = 0
    async for key, data in store.get_many(keys(60_000)):
        assert data == key.encode()
        count += 1
    assert count == 60_000
    assert len([info async for info in store.list()]) == 20_000
    assert await store.delete_many(keys(20_000)) == 20_000
    assert most <= 65
    assert list(tmp_path.iterdir()) == []


async def test_keys_are_read_no_further_than_the_results_are_taken() -> None:
    store = Watched()
    await store.put("k", b"")
    taken = 0

    def endless() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "k"

    async with store.get_many(endless(), concurrency=8) as results:
        for wanted in range(1, 200):
            await anext(results)
            for _ in range(50):
                await asyncio.sleep(0)
            assert taken <= wanted + 2 * 8
            assert store.reads <= wanted + 2 * 8


async def test_memory_does_not_grow_with_a_stream() -> None:
    store = MemoryStore()
    await store.put("k", b"x")
    results = store.get_many(itertools.repeat("k"))
    for _ in range(1000):
        await anext(results)
    tracemalloc.start()
    for _ in range(20_000):
        await anext(results)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await results.aclose()
    assert grown < 100_000


async def test_results_come_in_order_of_completion() -> None:
    gates = {key: asyncio.Event() for key in "abc"}

    class Gated(MemoryStore):
        async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
            await gates[key].wait()
            return memoryview(key.encode())

    results = Gated().get_many("abc")
    order = ""
    for key in "cab":
        gates[key].set()
        order += (await anext(results))[0]
    assert order == "cab"
    assert [result async for result in results] == []


async def test_an_unnamed_stream_stops_when_it_is_left() -> None:
    store = Watched()
    await store.put("k", b"")
    async for _ in store.get_many(itertools.repeat("k")):
        break
    gc.collect()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


async def test_a_named_stream_waits_and_goes_on() -> None:
    store = Watched()
    await store.put_many((key, b"") for key in names(300))
    results = store.get_many(names(300))
    seen: list[str] = []
    while len(seen) < 300:
        async for key, _ in results:
            seen.append(key)
            if len(seen) % 100 == 0:
                break
    assert sorted(seen) == sorted(names(300))
    assert len([result async for result in results]) == 0


async def test_a_consumer_that_gave_up_waiting_may_come_again() -> None:
    gate = asyncio.Event()

    class Gated(MemoryStore):
        async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
            await gate.wait()
            return memoryview(b"late")

    results = Gated().get_many(["k"])
    waiting = asyncio.ensure_future(anext(results))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    gate.set()
    assert bytes((await anext(results))[1]) == b"late"
    await results.aclose()


async def test_an_unused_stream_does_nothing() -> None:
    store = Watched()
    results = store.get_many(["absent"])
    del results
    await store.get_many(["absent"]).aclose()
    assert store.reads == 0
    assert len(asyncio.all_tasks()) == 1


async def test_a_slow_async_source_does_not_hold_results_back() -> None:
    store = MemoryStore()
    await store.put("k", b"1")
    got = asyncio.Event()

    async def ask_and_tell() -> AsyncIterator[str]:
        yield "k"
        await got.wait()  # the second key depends on the first result
        yield "k"

    count = 0
    async for _ in store.get_many(ask_and_tell()):
        count += 1
        got.set()
    assert count == 2


async def test_an_async_source_is_asked_by_one_at_a_time() -> None:
    asking = False

    class Source:
        left = 100

        def __aiter__(self) -> "Source":
            return self

        async def __anext__(self) -> str:
            nonlocal asking
            assert not asking
            asking = True
            await asyncio.sleep(0)
            asking = False
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return "k"

    assert await Watched().delete_many(Source(), concurrency=10) == 100


async def test_an_error_cancels_what_is_in_flight() -> None:
    cancelled = 0

    class Stuck(MemoryStore):
        async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
            nonlocal cancelled
            if key == "absent":
                await asyncio.sleep(0)
                return await super().get(key)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled += 1
                raise
            raise AssertionError

    with pytest.raises(ObjectNotFound):
        async for _ in Stuck().get_many(["a", "b", "absent", "c"]):
            pass
    assert cancelled == 3
    assert len(asyncio.all_tasks()) == 1


async def test_cancelling_put_many_waits_for_its_writers() -> None:
    store = Watched()
    task = asyncio.create_task(store.put_many((key, b"") for key in names(10_000)))
    for _ in range(100):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert store.in_flight == 0
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.every_loop
async def test_on_every_loop(tmp_path: Path) -> None:
    store: ObjectStore = open_store(tmp_path.as_uri())
    assert await store.put_many((key, b"1" * 1000) for key in names(300)) == 300
    async for _, data in store.get_many(names(300)):
        assert len(data) == 1000
    async with store.get_many(names(300)) as results:
        async for _ in results:
            break
    assert await store.delete_many(names(300)) == 300


async def test_the_loop_stays_responsive_over_a_store_that_never_waits() -> None:
    store = MemoryStore()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await store.put_many((key, b"") for key in names(50_000))
    ticking.cancel()
    assert ticks > 20
