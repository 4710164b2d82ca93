"""What goes wrong in a shuffle: results are right all the same, or told; nothing is left behind."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric_runtime._bsp import _mapper
from tests.bsp import work
from tests.bsp.counting import CountingStore, keys_of

pytestmark = pytest.mark.asyncio


async def test_a_worker_that_dies_is_replaced() -> None:
    async with af.Fabric("local://?processes=2") as fabric:
        parts = await bsp.shuffle(
            fabric, work.dies_once, [("", n) for n in range(6)], work.kept, partitions=2
        )
        assert dict(pair for part in parts for pair in part) == {0: [0, 3], 1: [1, 4], 2: [2, 5]}
        assert await keys_of(fabric.store) == []


class Twice(_mapper.Mapper):
    """Every call is made twice, as if a copy had been launched; the second one's word counts."""

    def __call__(self, item: object) -> tuple[str, bytes]:
        super().__call__(item)
        return super().__call__(item)


async def test_copies_write_objects_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shuffle, "Mapper", Twice)
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        parts = await bsp.shuffle(
            fabric, work.given, [[("a", 1)], [("a", 2)]], work.kept, partitions=1
        )
    assert parts == [[("a", [1, 2])]]
    assert len(set(store.written)) == store.count["put"] == 4
    assert store.count["get"] == 2
    assert await keys_of(store) == []


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
@pytest.mark.parametrize(
    ("map_fn", "reduce_fn"), [(work.fails, work.kept), (work.one_each, work.fails_to_reduce)]
)
async def test_nothing_is_left_after_an_error(backend: str, map_fn: Any, reduce_fn: Any) -> None:
    async with af.Fabric(backend) as fabric:
        with pytest.raises(ZeroDivisionError):
            await bsp.shuffle(fabric, map_fn, range(8), reduce_fn, partitions=4)
        assert await keys_of(fabric.store) == []


async def test_what_still_runs_when_another_fails_leaves_nothing(tmp_path: Path) -> None:
    items = [(str(tmp_path), 0), (str(tmp_path), 1)]
    async with af.Fabric("local://?processes=2") as fabric:
        await fabric.warm(2)
        with pytest.raises(ZeroDivisionError):
            await bsp.shuffle(
                fabric, work.fails_while_another_works, items, work.kept, partitions=1
            )
        # Where both workers are at work again, neither is at the old one still.
        await fabric.map(work.meets, items, chunksize=1)
        assert await keys_of(fabric.store) == []


async def test_nothing_is_left_when_the_stream_is_left() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        async with bsp.shuffle(fabric, work.one_each, range(9), work.kept, partitions=9) as stream:
            async for _ in stream:
                assert await keys_of(store) != []
                break
        assert await keys_of(store) == []


@pytest.mark.parametrize("after", ["put", "get", "list"])
async def test_nothing_is_left_after_a_cancellation(after: str) -> None:
    store = CountingStore()

    async def work_through() -> None:
        async with af.Fabric("inline://", storage=store) as fabric:
            await bsp.shuffle(fabric, work.one_each, range(20), work.kept, partitions=9)

    task = asyncio.create_task(work_through())
    await store.asked[after].wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await keys_of(store) == []


async def test_objects_that_can_not_be_deleted_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingStore()

    async def refuse(key: str) -> None:
        raise af.StorageError(f"no {key}")

    monkeypatch.setattr(store, "delete", refuse)
    async with af.Fabric("inline://", storage=store) as fabric:
        with pytest.warns(RuntimeWarning, match="may be left: no shuffle/"):
            parts = await bsp.shuffle(fabric, work.one_each, [1], work.kept, partitions=1)
    assert parts == [[(1, [1])]]


async def test_changed_objects_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = CountingStore()
    put = store.put

    async def spoil(key: str, data: Any) -> None:
        await put(key, b"".join(data)[:-1] + b"!")

    monkeypatch.setattr(store, "put", spoil)
    async with af.Fabric("inline://", storage=store) as fabric:
        with pytest.raises(af.IntegrityError, match="changed or damaged"):
            await bsp.shuffle(fabric, work.one_each, [1], work.kept, partitions=1)
