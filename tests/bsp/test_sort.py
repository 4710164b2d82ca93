"""Sorting records against plain Python: order, stability, nothing lost, nothing left."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric_runtime._bsp._rows import Rows
from asyncfabric_storage import MemoryStore, open_store
from tests.bsp.counting import CountingStore, keys_of
from tests.bsp.records import WIDTH, allow_little, numbered, read_all, records_of

# Few bytes at few places, so that prefixes and whole keys are often equal; zeros at the end, too.
KEYS = st.lists(st.sampled_from([0, 0, 0, 1, 255]), min_size=10, max_size=10).map(bytes)


# rows


@settings(max_examples=150, deadline=None)
@given(keys=st.lists(KEYS, max_size=20), key=st.integers(1, 10))
def test_order_is_stable_and_by_the_whole_key(keys: list[bytes], key: int) -> None:
    data = numbered(keys)
    rows = Rows(data, WIDTH, key)
    expected = sorted(records_of(data), key=lambda record: record[:key])
    assert rows.taken(rows.order()).tobytes() == b"".join(expected)
    in_order = [record[:key] for record in records_of(data)]
    assert rows.is_sorted() == (in_order == sorted(in_order))
    assert rows.doubles() == sum(a == b for a, b in pairwise(in_order))
    assert Rows(b"".join(expected), WIDTH, key).is_sorted()


@settings(max_examples=150, deadline=None)
@given(keys=st.lists(KEYS, max_size=20), splits=st.lists(KEYS, max_size=4), key=st.integers(1, 10))
def test_records_are_dealt_by_the_whole_key(
    keys: list[bytes], splits: list[bytes], key: int
) -> None:
    splitters = sorted(each[:key] for each in splits)
    data = numbered(keys)
    rows = Rows(data, WIDTH, key)
    order, counts = rows.dealt(splitters)
    parts: list[list[bytes]] = [[] for _ in range(len(splitters) + 1)]
    for record in records_of(data):
        parts[sum(each <= record[:key] for each in splitters)].append(record)
    assert rows.taken(order).tobytes() == b"".join(b"".join(part) for part in parts)
    assert counts == [len(part) for part in parts]


def test_the_checksum_is_of_the_records_whatever_their_order() -> None:
    records = records_of(random.Random(1).randbytes(WIDTH * 100))
    checksum = Rows(b"".join(records), WIDTH, 10).checksum()
    assert Rows(b"".join(records[::-1]), WIDTH, 10).checksum() == checksum
    changed = bytes([records[3][0]]) + records[3][1:-1] + bytes([records[3][-1] ^ 1])
    for other in (
        records[1:],
        [*records, records[0]],
        [records[1], *records[1:]],
        [*records[:3], changed, *records[4:]],
    ):
        assert Rows(b"".join(other), WIDTH, 10).checksum() != checksum
    swapped = [records[0][8:] + records[0][:8], *records[1:]]
    assert Rows(b"".join(swapped), WIDTH, 10).checksum() != checksum


# the whole


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little data has many partitions."""
    allow_little(monkeypatch)


@pytest.mark.asyncio
@settings(max_examples=40, deadline=None)
@given(objects=st.lists(st.lists(KEYS, max_size=30), min_size=1, max_size=4), seed=st.integers())
async def test_as_plain_python_sorts(objects: list[list[bytes]], seed: int) -> None:
    source, destination, store = MemoryStore(), MemoryStore(), CountingStore()
    draw = random.Random(seed)
    for number, keys in enumerate(objects):
        own = [key if draw.random() < 0.5 else draw.randbytes(10) for key in keys]
        await source.put(f"in-{number}", numbered(own))
    data = await read_all(source)
    async with af.Fabric("inline://", storage=store) as fabric:
        memory = draw.choice([100, 400, 3000])
        found = await bsp.sort(
            fabric, source.url, destination.url, record=WIDTH, key=10, memory=memory
        )
        expected = sorted(records_of(data), key=lambda record: record[:10])
        assert await read_all(destination) == b"".join(expected)
        assert (found.records, found.bytes) == (len(expected), len(data))
        assert [part.key for part in found.parts] == await keys_of(destination)
        if data:
            before = await bsp.validate(fabric, source.url, record=WIDTH, memory=memory)
            after = await bsp.validate(fabric, destination.url, record=WIDTH, memory=memory)
            assert after.ordered
            assert (after.records, after.checksum) == (before.records, before.checksum)
            equal = [a[:10] == b[:10] for a, b in pairwise(expected)]
            assert after.duplicates == sum(equal)
    assert await keys_of(store) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("memory", ["64MiB", "100kB"])
async def test_random_records_on_workers(tmp_path: Path, memory: str) -> None:
    data = random.Random(7).randbytes(100 * 8000)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "records").write_bytes(data)
    source, destination = f"file://{tmp_path}/in", f"file://{tmp_path}/out"
    async with af.Fabric("local://?processes=2") as fabric:
        found = await bsp.sort(fabric, source, destination, memory=memory)
        before = await bsp.validate(fabric, source)
        after = await bsp.validate(fabric, destination)
        assert await keys_of(fabric.store) == []
    assert found.records == after.records == 8000
    assert after == before._replace(ordered=True)
    assert not before.ordered
    assert len(found.parts) >= 8
    assert max(part.records for part in found.parts) < 3 * 8000 / len(found.parts)
    written = b"".join(path.read_bytes() for path in sorted((tmp_path / "out").iterdir()))
    expected = sorted(records_of(data, 100), key=lambda record: record[:10])
    assert written == b"".join(expected)


@pytest.mark.asyncio
async def test_as_many_requests_as_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    source, destination, store = CountingStore(), CountingStore(), CountingStore()
    await source.put("records", random.Random(7).randbytes(100 * 4000))
    async with af.Fabric("inline://", storage=store) as fabric:
        found = await bsp.sort(fabric, source.url, destination.url, memory=400_000)
    assert len(found.parts) == 8
    assert store.count == {"put": 4, "get": 4 * 8, "list": 1, "delete": 4}
    assert destination.count == {"put": 8, "list": 1}


@pytest.mark.asyncio
async def test_changed_objects_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, destination, store = MemoryStore(), MemoryStore(), CountingStore()
    await source.put("records", bytes(1000))
    put = store.put

    async def spoil(key: str, data: Any) -> None:
        await put(key, bytes(data)[:-1] + b"!")

    monkeypatch.setattr(store, "put", spoil)
    async with af.Fabric("inline://", storage=store) as fabric:
        with pytest.raises(af.IntegrityError, match="changed or damaged"):
            await bsp.sort(fabric, source.url, destination.url)
        assert await keys_of(store) == []
    assert await keys_of(destination) == []


@pytest.mark.asyncio
async def test_a_destination_with_objects_is_refused(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    await store.put("old", b"")
    await store.aclose()
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(ValueError, match="such as old; they would be taken"):
            await bsp.sort(fabric, "file:///nowhere", f"file://{tmp_path}")


@pytest.mark.asyncio
async def test_disorder_and_duplicates_across_chunks() -> None:
    store = MemoryStore()
    await store.put("0", numbered([b"b" * 10, b"c" * 10]))
    await store.put("1", numbered([b"c" * 10, b"d" * 10]))
    async with af.Fabric("inline://") as fabric:
        found = await bsp.validate(fabric, store.url, record=WIDTH, memory=112)
        assert (found.records, found.ordered, found.duplicates) == (4, True, 1)
        await store.put("2", numbered([b"a" * 10]))
        assert not (await bsp.validate(fabric, store.url, record=WIDTH, memory=112)).ordered


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": 0}, "record=0 makes no sense"),
        ({"key": True}, "key=True makes no sense"),
        ({"record": 5}, "key=10 is longer than record=5"),
        ({"memory": 10}, "at least '1MiB'"),
    ],
)
async def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(ValueError, match=message):
            await bsp.sort(fabric, "memory://x", "memory://y", **options)


def test_words_compare_as_bytes_do() -> None:
    data = np.random.default_rng(3).integers(0, 256, (50, 12), dtype=np.uint8)
    rows = Rows(data.tobytes(), 12, 12)
    words = [(int(a), int(b)) for a, b in zip(rows.words(0, 8), rows.words(8, 12), strict=True)]
    plain = [bytes(row) for row in data]
    assert sorted(range(50), key=words.__getitem__) == sorted(range(50), key=plain.__getitem__)
