"""Sorting what is badly distributed, broken or interrupted."""

import gzip
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _sort
from asyncfabric_runtime._bsp import _sorting
from asyncfabric_storage import MemoryStore
from tests.bsp.counting import CountingStore, keys_of
from tests.bsp.records import (
    WIDTH,
    allow_little,
    in_order,
    numbered,
    random_records,
    read_all,
)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little data has many partitions."""
    allow_little(monkeypatch)


@pytest.mark.asyncio
async def test_more_than_fits_in_memory_is_sorted_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One partition has everything where the sample misleads."""

    def none(keys: object, count: int) -> tuple[bytes, ...]:
        return ()

    monkeypatch.setattr(_sort, "splitters", none)
    monkeypatch.setattr(_sorting, "_TAKEN_BYTES", 1000)
    source, destination = MemoryStore(), MemoryStore()
    data = random_records(5000)
    await source.put("records", data)
    async with af.Fabric("inline://") as fabric:
        found = await bsp.sort(fabric, source.url, destination.url, memory=50_000)
    assert [part.records for part in found.parts] == [5000]
    expected = in_order(data)
    assert await read_all(destination) == expected


HOT = [bytes(10), b"kkkkkkkkkk", b"kkkkkkkkk\x00", b"\xff" * 10]


@pytest.mark.asyncio
@pytest.mark.parametrize("hot", [*([key] for key in HOT), HOT], ids=range(5))
@pytest.mark.parametrize("others", [0, 300])
async def test_keys_that_fill_many_partitions(hot: list[bytes], others: int) -> None:
    """They are passed on in pieces that fit in memory, in their order, without sorting."""
    source, destination = MemoryStore(), MemoryStore()
    draw = random.Random(others)
    keys = [draw.choice(hot) for _ in range(5000)] + [draw.randbytes(10) for _ in range(others)]
    draw.shuffle(keys)
    data = numbered(keys, 100)
    await source.put("records", data)
    async with af.Fabric("inline://") as fabric:
        found = await bsp.sort(fabric, source.url, destination.url, memory=50_000)
        after = await bsp.validate(fabric, destination.url)
    expected = in_order(data)
    assert await read_all(destination) == expected
    assert [part.key for part in found.parts] == await keys_of(destination)
    assert max(part.bytes for part in found.parts) < 50_000 / 3
    assert after.ordered
    assert after.duplicates == len(keys) - len(set(keys))


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["ascending", "descending"])
async def test_what_is_sorted_already(way: str) -> None:
    source, destination = MemoryStore(), MemoryStore()
    numbers = range(8000) if way == "ascending" else range(8000, 0, -1)
    for start in range(0, 8000, 2000):
        own = [number.to_bytes(10, "big") for number in numbers[start : start + 2000]]
        await source.put(f"{start}", numbered(own, 100))
    async with af.Fabric("inline://") as fabric:
        found = await bsp.sort(fabric, source.url, destination.url, memory=100_000)
        before = await bsp.validate(fabric, source.url)
        after = await bsp.validate(fabric, destination.url)
    assert after == before._replace(ordered=True, duplicates=0)
    assert max(part.bytes for part in found.parts) < 100_000 / 3


@pytest.mark.asyncio
async def test_two_levels_make_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a key fills partitions, which are cut by mappers."""
    draw = random.Random(3)
    keys = [draw.choice([draw.randbytes(10), b"kkkkkkkkkk"]) for _ in range(4000)]
    source = MemoryStore()
    await source.put("records", numbered(keys, 100))
    store = CountingStore()
    made: list[tuple[bytes, list[str]]] = []
    for level in (1, 2):
        if level == 2:
            monkeypatch.setattr(_sort, "TWO_LEVELS_READS", 1)
        destination, store = MemoryStore(), CountingStore()
        async with af.Fabric("inline://", storage=store) as fabric:
            found = await bsp.sort(fabric, source.url, destination.url, memory=60_000)
        made.append((await read_all(destination), [part.key for part in found.parts]))
        assert await keys_of(store) == []
    assert made[0] == made[1]
    mappers, parts = -(-400_000 // 15_000), len(made[1][1])
    sets, groups = mappers**0.5 + 1, parts**0.5 + 1
    assert store.count["put"] <= mappers + sets * groups
    assert store.count["get"] <= mappers * groups + parts * sets


@pytest.mark.asyncio
async def test_compressed_records() -> None:
    data = random.Random(7).randbytes(1400)
    source, destination = MemoryStore(), MemoryStore()
    await source.put("a.gz", gzip.compress(data))
    async with af.Fabric("inline://") as fabric:
        await bsp.sort(fabric, source.url, destination.url, record=WIDTH)
        expected = in_order(data, WIDTH)
        assert await read_all(destination) == expected
        with pytest.raises(ValueError, match="decompressed, which is no multiple of record=99;"):
            await bsp.validate(fabric, [f"{source.url}/a.gz"], record=99)
        await source.put("a.gz", gzip.compress(data[:-1]))
        other = MemoryStore()
        with pytest.raises(ValueError, match="1,399 bytes decompressed, which is no multiple"):
            await bsp.sort(fabric, source.url, other.url, record=WIDTH)


@pytest.mark.asyncio
async def test_sources_that_are_empty_or_do_not_fit() -> None:
    source, destination = MemoryStore(), MemoryStore()
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(af.ObjectNotFound, match="no objects below"):
            await bsp.sort(fabric, source.url, destination.url)
        await source.put("empty", b"")
        assert await bsp.sort(fabric, source.url, destination.url) == (0, 0, ())
        assert await bsp.validate(fabric, source.url) == (0, True, 0, 0)
        await source.put("odd", bytes(150))
        with pytest.raises(ValueError, match="150 bytes, which is no multiple of records=100"):
            await bsp.sort(fabric, source.url, destination.url)
        with pytest.raises(ValueError, match="such as empty; they would be taken for sorted"):
            await bsp.sort(fabric, source.url, source.url)
    assert await keys_of(destination) == []


@pytest.mark.asyncio
async def test_a_sort_that_fails_takes_its_parts_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it can be run again, to the same destination."""
    source, destination, store = MemoryStore(), MemoryStore(), CountingStore()
    data = random_records(4000)
    await source.put("records", data)
    put = destination.put

    async def fail(key: str, content: Any) -> None:
        await put(key, content)
        if key == "part-00003":
            raise af.StorageError("the disk is full")

    async with af.Fabric("inline://", storage=store, retry=None) as fabric:
        with monkeypatch.context() as patch:
            patch.setattr(destination, "put", fail)
            with pytest.raises(af.StorageError, match="the disk is full"):
                await bsp.sort(fabric, source.url, destination.url, memory=400_000)
        assert await keys_of(destination) == await keys_of(store) == []
        await bsp.sort(fabric, source.url, destination.url, memory=400_000)
    expected = in_order(data)
    assert await read_all(destination) == expected


KILLED = """
import os, signal, sys
import asyncfabric as af
from asyncfabric.bsp import _sort

orders, order = [], _sort._Sort._order

def killing(self, part, name):
    orders.append(name)
    if len(orders) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return order(self, part, name)

_sort._Sort._order = killing

async def main():
    async with af.Fabric("local://?processes=2") as fabric:
        await af.bsp.sort(fabric, sys.argv[1], sys.argv[2], memory="1MiB")

af.run(main())
"""


@pytest.mark.asyncio
async def test_after_a_driver_was_killed(tmp_path: Path) -> None:
    """What it wrote is whole, the source is as it was, and the same can be run again."""
    data = random_records(20_000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "records").write_bytes(data)
    (tmp_path / "temporary").mkdir()
    source, destination = f"file://{tmp_path}/in", f"file://{tmp_path}/out"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, source, destination, "9"],
        check=False,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": f"{tmp_path}/temporary"},
    )
    assert done.returncode == -signal.SIGKILL
    expected = in_order(data)
    parts = sorted(path for path in (tmp_path / "out").glob("*") if path.name.startswith("part-"))
    for path in parts:
        assert path.read_bytes() in expected
    async with af.Fabric("local://?processes=2") as fabric:
        if parts:
            with pytest.raises(ValueError, match="they would be taken for sorted ones"):
                await bsp.sort(fabric, source, destination, memory="1MiB")
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        await bsp.sort(fabric, source, destination, memory="1MiB")
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    assert written == expected
