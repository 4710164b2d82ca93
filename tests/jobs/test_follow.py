"""A job seen from another process: what is done, each input once, by few requests."""

import pytest

from asyncfabric import ConfigurationError, IntegrityError
from asyncfabric.jobs._follow import BLOCK, follow
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage._commits import INLINE_BYTES
from tests.jobs.programs import (
    FUNCTION,
    KEY,
    OTHER_KEY,
    Counting,
    attempt,
    opened,
    run_all,
    run_call,
)


async def test_results_as_they_come(store: ObjectStore) -> None:
    job = await opened(store)
    seen = await follow(store, KEY, "prices")
    assert await seen.look() == []
    for index in (5, 1):
        await run_call(store, attempt(job, index, index), str(index).encode())
    assert await seen.look() == [1, 5]
    assert await seen.look() == []
    large = b"x" * (INLINE_BYTES + 1)
    await run_call(store, attempt(job, 0, 0), large)
    assert await seen.look() == [0]
    assert await seen.payload(await seen.result(0)) == large
    assert bytes(await seen.payload(await seen.result(5))) == b"5"
    assert (seen.total, seen.complete, await seen.finished()) == (None, False, False)
    await run_all(store, job, range(7), lambda _: b"more")
    assert await seen.look() == [2, 3, 4, 6]
    assert (seen.total, seen.complete, await seen.finished()) == (7, True, True)
    assert await seen.code(seen.manifest.code.function) == FUNCTION


async def test_a_follower_takes_nothing_over(store: ObjectStore) -> None:
    job = await opened(store)
    await (await follow(store, KEY, "prices")).look()
    await job.check()


async def test_a_job_of_many_thousands() -> None:
    memory = MemoryStore()
    job = await opened(memory)
    count = 5 * BLOCK + 3
    for index in range(count):
        if index % 2:
            await memory.put(f"{job.root}/done/{index:012d}", b"")
    store = Counting(memory)
    seen = await follow(store, KEY, "prices")
    assert len(await seen.look()) == count // 2
    for index in range(0, count, 2):
        await memory.put(f"{job.root}/done/{index:012d}", b"")
    assert len(await seen.look()) == count // 2 + 1
    store.lists.clear()
    await memory.put(f"{job.root}/done/{count:012d}", b"")
    assert await seen.look() == [count]
    assert len(store.lists) < 8


async def test_a_gap_is_looked_beyond() -> None:
    store = MemoryStore()
    job = await opened(store)
    for index in (0, 3 * BLOCK):
        await run_call(store, attempt(job, index, index))
    seen = await follow(store, KEY, "prices")
    assert await seen.look() == [0, 3 * BLOCK]


async def test_a_wide_gap_is_looked_beyond_when_it_fills() -> None:
    store = MemoryStore()
    job = await opened(store)
    await run_call(store, attempt(job, 9 * BLOCK, 0))
    seen = await follow(store, KEY, "prices")
    assert await seen.look() == []
    await run_call(store, attempt(job, 5 * BLOCK, 0))
    await run_call(store, attempt(job, 3 * BLOCK, 0))
    assert await seen.look() == [3 * BLOCK, 5 * BLOCK, 9 * BLOCK]


async def test_no_job_and_another_key(store: ObjectStore) -> None:
    with pytest.raises(ConfigurationError, match="there is no job 'prices'"):
        await follow(store, KEY, "prices")
    await opened(store)
    with pytest.raises(IntegrityError, match="ASYNCFABRIC_KEY"):
        await follow(store, OTHER_KEY, "prices")
