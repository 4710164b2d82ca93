"""The operations on many objects, as every store must do them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from asyncfabric_storage import ConfigurationError, ObjectNotFound, ObjectStore


def tasks() -> int:
    return len(asyncio.all_tasks())


class ManyConformance:
    """A part of `StoreConformance`."""

    async def test_many_are_written_read_and_deleted(self, store: ObjectStore) -> None:
        items = {f"k/{number}": b"%d" % number for number in range(500)}
        assert await store.put_many(items.items()) == 500
        got = {key: bytes(data) async for key, data in store.get_many(items)}
        assert got == items
        assert await store.delete_many(items) == 500
        assert [info async for info in store.list()] == []

    async def test_sources_may_be_async(self, store: ObjectStore) -> None:
        async def items() -> AsyncIterator[tuple[str, bytes]]:
            for number in range(100):
                await asyncio.sleep(0)
                yield f"k/{number}", b"%d" % number

        async def keys() -> AsyncIterator[str]:
            async for key, _ in items():
                yield key

        assert await store.put_many(items(), concurrency=7) == 100
        got = {key async for key, _ in store.get_many(keys(), concurrency=7)}
        assert got == {f"k/{number}" for number in range(100)}
        assert await store.delete_many(keys(), concurrency=7) == 100

    async def test_nothing_to_do(self, store: ObjectStore) -> None:
        assert await store.put_many([]) == 0
        assert [result async for result in store.get_many([])] == []
        assert await store.delete_many([]) == 0

    @pytest.mark.parametrize("concurrency", [0, -1])
    async def test_no_concurrency_is_refused(self, store: ObjectStore, concurrency: int) -> None:
        with pytest.raises(ConfigurationError, match="concurrency must be at least 1"):
            await store.put_many([], concurrency=concurrency)
        with pytest.raises(ConfigurationError, match="concurrency must be at least 1"):
            store.get_many([], concurrency=concurrency)
        with pytest.raises(ConfigurationError, match="concurrency must be at least 1"):
            await store.delete_many([], concurrency=concurrency)

    async def test_the_first_error_ends_the_stream(self, store: ObjectStore) -> None:
        await store.put_many((f"k/{number}", b"") for number in range(100))
        keys = [f"k/{number}" for number in range(100)]
        keys[50] = "absent"
        results = store.get_many(keys, concurrency=8)
        with pytest.raises(ObjectNotFound, match="absent"):
            async for _ in results:
                pass
        assert [result async for result in results] == []
        assert tasks() == 1

    async def test_the_first_error_ends_the_writing(self, store: ObjectStore) -> None:
        items = [(f"k/{number}", b"") for number in range(100)]
        items[50] = ("../up", b"")
        with pytest.raises(ConfigurationError, match=r"'\.\./up'"):
            await store.put_many(items, concurrency=8)
        assert tasks() == 1
        assert len([info async for info in store.list()]) < 100

    async def test_an_error_of_the_source_is_raised(self, store: ObjectStore) -> None:
        def keys() -> Iterator[str]:
            yield "k"
            raise ZeroDivisionError

        async def async_keys() -> AsyncIterator[str]:
            for key in keys():
                yield key

        await store.put("k", b"")
        with pytest.raises(ZeroDivisionError):
            await store.put_many((key, b"") for key in keys())
        with pytest.raises(ZeroDivisionError):
            async for _ in store.get_many(async_keys()):
                pass
        with pytest.raises(ZeroDivisionError):
            await store.delete_many(keys())
        assert tasks() == 1

    async def test_leaving_early_leaves_no_tasks(self, store: ObjectStore) -> None:
        await store.put_many((f"k/{number}", b"") for number in range(100))
        async with store.get_many(f"k/{number}" for number in range(100)) as results:
            async for _ in results:
                break
        assert tasks() == 1
        assert [result async for result in results] == []

    async def test_every_wait_can_be_cancelled(self, store: ObjectStore) -> None:
        await store.put("k", b"x" * 100_000)

        async def everything() -> None:
            await store.put("k", b"x" * 100_000)
            await store.put_if_absent("new", b"x" * 100_000)
            await store.get("k")
            await store.delete("new")
            await store.put_many((f"m/{number}", b"") for number in range(20))
            async with store.get_many([f"m/{number}" for number in range(20)]) as results:
                async for _ in results:
                    pass
            await store.delete_many(f"m/{number}" for number in range(20))
            async for _ in store.list():
                pass

        for steps in range(300):
            task = asyncio.create_task(everything())
            for _ in range(steps):
                await asyncio.sleep(0)
            was_done = task.done()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() is not was_done
            assert tasks() == 1
            assert len(await store.get("k")) == 100_000
            async for info in store.list():
                assert info.size in {0, 100_000}
