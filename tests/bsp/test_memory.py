"""Workers stay within their limit, while the data is ten times as much."""

import operator
import sys
import tracemalloc
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric_runtime._bsp import _runs
from tests.bsp import work
from tests.bsp.counting import CountingStore

pytestmark = pytest.mark.asyncio


async def test_more_than_fits_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mappers and a reducer work in pieces, and nobody sees a difference."""
    runs: list[int] = []
    add = _runs.Runs.add

    def counted(self: Any, groups: dict[Any, Any], most: int) -> None:
        runs.append(sum(map(len, groups.values())))
        add(self, groups, most)

    monkeypatch.setattr(_runs.Runs, "add", counted)
    async with af.Fabric("inline://") as fabric:
        [part] = await bsp.shuffle(
            fabric, work.wide, range(3), work.increasing, partitions=1, memory="1MiB"
        )
    assert sorted(key for key, _, _ in part) == list(range(40))
    assert sum(count for _, count, _ in part) == 9000
    assert all(ordered for _, _, ordered in part)
    assert len(runs) > 10
    assert max(runs) < 1000  # of a kilobyte each, half the limit is 500


async def peak_of(map_fn: Any, items: list[Any], reduce_fn: Any, combine: Any) -> tuple[Any, int]:
    """The results, and bytes at the worst moment, with a limit of 2 MiB."""
    async with af.Fabric("inline://") as fabric:
        await bsp.shuffle(fabric, map_fn, items[:1], reduce_fn, partitions=1)
        tracemalloc.start()
        try:
            [part] = await bsp.shuffle(
                fabric, map_fn, items, reduce_fn, partitions=1, combine=combine, memory="2MiB"
            )
            return part, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("mappers", [1, 10])
async def test_memory_stays_within_the_limit(mappers: int) -> None:
    """20 MB through workers with 2 MiB: no part of it is ever in memory as a whole."""
    items = [(number, 20_000 // mappers) for number in range(mappers)]
    part, peak = await peak_of(work.filled, items, work.increasing, None)
    assert sum(count for _, count, _ in part) == 20_000
    assert all(ordered for _, _, ordered in part)
    assert peak < 2 * 1024 * 1024, f"{peak:,} bytes"


async def test_values_that_grow_as_they_are_combined() -> None:
    """Each new pair is small: what has come together of 200 keys is what counts."""
    items = [(number, 2000) for number in range(10)]
    part, peak = await peak_of(work.filled_lists, items, work.lengths_of, operator.add)
    assert part == [(key, 100) for key, _ in part]
    assert len(part) == 200
    assert peak < 2 * 1024 * 1024, f"{peak:,} bytes"


async def test_large_values() -> None:
    """A thousand of 20 kB: fewer are taken between two looks than where they are small."""
    items = [(number, 100) for number in range(10)]
    part, peak = await peak_of(work.large, items, work.increasing, None)
    assert sum(count for _, count, _ in part) == 1000
    assert peak < 2 * 1024 * 1024, f"{peak:,} bytes"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no such limit is kept")
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("mappers", "levels"), [(1, 1), (10, 1), (10, 2)])
async def test_a_process_stays_within_twice_the_limit(
    mappers: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """120 MB through one process, which the system lets grow by 24 MB.

    What Python and malloc need beyond the data is in that, too.
    """
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    items = [(number, 120_000 // mappers) for number in range(mappers)]
    bounded = work.Bounded(24 * 1024 * 1024)
    async with af.Fabric("local://?processes=1", initializer=bounded) as fabric:
        [part] = await bsp.shuffle(
            fabric, work.filled, items, work.increasing, partitions=1, memory="12MiB"
        )
    assert sum(count for _, count, _ in part) == 120_000
    assert all(ordered for _, _, ordered in part)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no such limit is kept")
async def test_the_limit_of_the_tests_is_kept() -> None:
    async with af.Fabric("local://?processes=1", initializer=work.Bounded(2**24)) as fabric:
        with pytest.raises(MemoryError):
            await fabric.submit(work.spread, 2**25)


class Bounding(CountingStore):
    """Copies what is written, as S3's does, and so is told how much that may be."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: set[int] = set()

    async def put_within(self, key: str, data: Any, memory: int) -> None:
        self.limits.add(memory)
        await self.put(key, data)


@pytest.mark.parametrize("levels", [1, 2])
async def test_copies_for_an_upload_are_within_the_limit(
    levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    store = Bounding()
    async with af.Fabric("inline://", storage=store) as fabric:
        await bsp.shuffle(fabric, work.one_each, range(3), work.kept, partitions=2, memory=2**20)
    # A mapper has half of it in use at most, a regrouper three quarters.
    assert store.limits == ({2**19} if levels == 1 else {2**19, 2**18})
