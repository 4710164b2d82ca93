"""Stages that follow one another: what one gives feeds the next, and all is cleaned up."""

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from tests.api.until import until
from tests.bsp import work
from tests.bsp.counting import CountingStore, keys_of

pytestmark = pytest.mark.asyncio

TEXTS = ["to be or not to be", "be quick", "or not"]
LENGTHS = {2: 7, 3: 2, 5: 1}


def counting(fabric: af.Fabric) -> bsp.Shuffle[list[tuple[str, int]]]:
    return bsp.shuffle(fabric, work.words, TEXTS, work.total, partitions=3, combine=operator.add)


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
@pytest.mark.parametrize("several", [False, True])
async def test_a_shuffle_feeds_the_next(backend: str, several: bool) -> None:
    """Its partitions are the next one's items; or what `async for` makes of them."""
    async with af.Fabric(backend) as fabric:
        first = counting(fabric)

        async def pairs() -> AsyncIterator[list[tuple[str, int]]]:
            async for partition in first:
                for pair in partition:
                    yield [pair]

        items: Any = pairs() if several else first
        second = bsp.shuffle(fabric, work.by_length, items, work.summed, partitions=2)
        found = [pair async for partition in second for pair in partition]
        assert dict(found) == LENGTHS
        assert len(found) == len(LENGTHS)
        assert await keys_of(fabric.store, "shuffle/") == []


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
async def test_a_shuffle_feeds_a_map_and_a_map_reduce(backend: str) -> None:
    async with af.Fabric(backend) as fabric:
        sizes = await fabric.map(len, counting(fabric))
        assert sum(sizes) == 5
        most = await fabric.map_reduce(work.largest_or_none, counting(fabric), work.maximum)
        assert most == (3, "be")
        assert await keys_of(fabric.store) == []


async def test_a_map_feeds_a_shuffle() -> None:
    async with af.Fabric("inline://") as fabric:
        texts = fabric.map(str.upper, TEXTS)
        parts = await bsp.shuffle(fabric, work.words, texts, work.total, partitions=1)
        assert dict(parts[0])["BE"] == 3


async def test_a_stage_that_is_left_cleans_up_those_before_it() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        first = bsp.shuffle(fabric, work.one_each, range(9), work.kept, partitions=9)
        async with fabric.map(len, first) as sizes:
            async for _ in sizes:
                break
        await until(lambda: not [key for key in store.kept if key.startswith("shuffle/")])


async def test_a_stage_that_fails_cleans_up_those_before_it() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        first = bsp.shuffle(fabric, work.one_each, range(9), work.kept, partitions=9)
        second = bsp.shuffle(fabric, work.divides, first, work.kept, partitions=2)
        with pytest.raises(ZeroDivisionError):
            await second
        await until(lambda: not store.kept)


async def test_a_cancelled_stage_cleans_up_those_before_it() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        first = bsp.shuffle(fabric, work.one_each, range(9), work.kept, partitions=9)
        second = bsp.shuffle(fabric, work.given_kept, first, work.kept, partitions=2)
        waiting = asyncio.ensure_future(second._gather())
        await store.asked["get"].wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: not store.kept)


async def test_a_loop_of_stages() -> None:
    """The distances from a node of a graph, level by level: each round reads what the last gave."""
    edges = {0: [1, 2], 1: [3], 2: [3, 4], 3: [5], 4: [5], 5: []}
    state = [[(node, (0 if node == 0 else None, tuple(edges[node]))) for node in edges]]
    async with af.Fabric("inline://") as fabric:
        for _ in range(4):
            state = await bsp.shuffle(fabric, work.reach, state, work.nearest, partitions=3)
        assert await keys_of(fabric.store) == []
    found = {node: distance for part in state for node, (distance, _) in part}
    assert found == {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3}


async def test_as_many_rounds_as_one_likes_write_as_many_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_shuffle, "TASKS_A_PLACE", 1)
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        for _ in range(3):
            store.count.clear()
            await counting(fabric)
            assert store.count == {"put": 3, "get": 3, "list": 1, "delete": 3}
