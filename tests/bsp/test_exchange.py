"""What goes from mappers to reducers: blocks, reads, tables, runs and tasks."""

import asyncio
import random
import struct
import threading
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncfabric as af
from asyncfabric.bsp._tasks import Layout, ShuffleStats, figures
from asyncfabric_runtime._bsp import _compression, _fetch, _patience, _runs
from asyncfabric_runtime._bsp._blocks import HEADER, Reader, Seal
from asyncfabric_runtime._bsp._fetch import Range, fetch
from asyncfabric_runtime._bsp._groups import Groups, decode, encode
from asyncfabric_runtime._bsp._mapper import Written
from asyncfabric_runtime._bsp._patience import Patience
from asyncfabric_runtime._bsp._runs import Runs
from asyncfabric_runtime._bsp._spool import Spool
from asyncfabric_runtime._bsp._table import Table
from tests.bsp.counting import CountingStore

SEAL = Seal(b"k" * 32, "object")
VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.none() | st.binary(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=4,
)
KEYS = st.text(max_size=3) | st.integers(-3, 3)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=30)


# groups and blocks


@settings(max_examples=100, deadline=None)
@given(keys=st.lists(KEYS, max_size=5), values=st.lists(VALUES, max_size=9))
def test_groups_come_back(keys: list[Any], values: list[Any]) -> None:
    groups = Groups(keys, [1] * len(keys), values)
    back = decode(*encode(groups))
    assert back == groups
    assert list(map(type, back.values)) == list(map(type, values))


@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.arange(3), bytearray(b"x"), (np.int32(1),), {"a": 1}, {1, 2}]
)
def test_what_marshal_would_take_for_bytes_stays_what_it_is(value: Any) -> None:
    back: Any = decode(*encode(Groups(["k"], None, [value]))).values[0]
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_value_that_can_not_be_sent_is_told_by_its_key() -> None:
    with pytest.raises(af.SerializationError, match="key 'b'"):
        encode(Groups(["a", "b"], [2, 1], [1, 2, threading.Lock()]))


def many_blocks(codec: _compression.Codec | None) -> tuple[list[Groups], bytes]:
    groups = [Groups([f"key{n}"], None, ["value" * n * 20]) for n in range(6)]
    return groups, b"".join(SEAL.write(each, 3, n, codec) for n, each in enumerate(groups))


@pytest.mark.parametrize("codec", [None, _compression.ZLIB, _compression.best_codec()])
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=8))
def test_blocks_in_pieces_of_any_size(codec: Any, cuts: list[int]) -> None:
    groups, data = many_blocks(codec)
    reader = Reader(SEAL, 3)
    found: list[Groups] = []
    places = [0, *sorted(cuts), len(data)]
    for start, end in pairwise(places):
        found += reader.feed(memoryview(data)[start:end])
    reader.end()
    assert found == groups


def read_all(reader: Reader, data: bytearray) -> None:
    list(reader.feed(memoryview(data)))
    reader.end()


def test_every_byte_is_authenticated() -> None:
    _, data = many_blocks(None)
    first = memoryview(data)[: HEADER.size + HEADER.unpack_from(data)[0]]
    for place in range(len(first)):
        damaged = bytearray(first)
        damaged[place] ^= 4
        with pytest.raises(af.IntegrityError, match="partition 3 of the intermediate object"):
            read_all(Reader(SEAL, 3), damaged)


@pytest.mark.parametrize(
    ("seal", "partition", "skip"),
    [
        (Seal(b"other" * 7, "object"), 3, 0),
        (Seal(b"k" * 32, "other"), 3, 0),
        (SEAL, 4, 0),
        (SEAL, 3, 1),
    ],
)
def test_a_block_is_good_in_its_own_place_only(seal: Seal, partition: int, skip: int) -> None:
    _, data = many_blocks(None)
    start = (HEADER.size + HEADER.unpack_from(data)[0]) * skip
    with pytest.raises(af.IntegrityError):
        list(Reader(seal, partition).feed(memoryview(data)[start:]))


def test_an_end_in_the_middle_of_a_block() -> None:
    _, data = many_blocks(None)
    reader = Reader(SEAL, 3)
    assert len(list(reader.feed(memoryview(data)[:-1]))) == 5
    with pytest.raises(af.IntegrityError):
        reader.end()


def test_compression_by_a_sample() -> None:
    codec = _compression.ZLIB
    text, noise = b"hello world " * 20_000, random.Random(1).randbytes(200_000)
    assert len(_compression.choose(codec, text)[1]) < len(text) / 10
    assert _compression.choose(codec, noise) == (0, noise)
    assert _compression.choose(None, text) == (0, text)
    assert _compression.choose(codec, b"a" * 100) == (0, b"a" * 100)
    for data in (text, text[:1000]):
        assert bytes(_compression.decompress(*_compression.choose(codec, data))) == data


# reading


async def filled(sizes: dict[str, int]) -> CountingStore:
    store = CountingStore()
    for key, size in sizes.items():
        await store.put(key, bytes(number % 251 for number in range(size)))
    return store


@pytest.mark.asyncio
@settings(max_examples=60, deadline=None)
@given(
    bounds=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), max_size=20),
    memory=st.integers(1, 300),
)
async def test_ranges_in_order_each_read_once(bounds: list[tuple[int, int]], memory: int) -> None:
    store = await filled({"object": 100})
    ranges = [Range(n, "object", min(pair), max(pair)) for n, pair in enumerate(bounds)]
    found: dict[int, bytes] = {}
    order: list[int] = []
    async for batch in fetch(store, ranges, memory):
        for number, data in batch:
            found[number] = found.get(number, b"") + bytes(data)
            order.append(number)
    plain = bytes(range(100))
    filled_ones = [each for each in ranges if each.start < each.end]
    assert found == {each.number: plain[each.start : each.end] for each in filled_ones}
    assert order == sorted(order)
    assert store.count["get"] == sum(-(-(e.end - e.start) // memory) for e in filled_ones)


@pytest.mark.asyncio
async def test_many_reads_at_once_but_no_more_than_memory_holds() -> None:
    store = await filled({f"{n}": 100 for n in range(200)})
    ranges = [Range(n, f"{n}", 0, 100) for n in range(200)]
    async for _ in fetch(store, ranges, 10**9):
        pass
    assert store.most_reading == _fetch.IN_FLIGHT
    store.most_reading = 0
    async for _ in fetch(store, ranges, 750):
        pass
    assert store.most_reading == 7


@pytest.mark.asyncio
async def test_a_read_that_hangs_is_asked_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_patience, "AT_LEAST", 0.001)
    store = await filled({f"{n}": 10 for n in range(100)})
    store.stuck = {("3", 0), ("70", 0)}
    found = [number async for batch in fetch(store, _all(100), 10**9) for number, _ in batch]
    assert found == list(range(100))
    assert store.count["get"] == 102
    assert store.given_up == 2
    assert store.reading == 0


@pytest.mark.asyncio
async def test_past_the_budget_a_slow_read_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    store = await filled({f"{n}": 10 for n in range(100)})
    store.stuck = {("3", 0)}

    def refuse(_: Patience) -> bool:
        store.released.set()
        return False

    monkeypatch.setattr(_patience, "AT_LEAST", 0.001)
    monkeypatch.setattr(Patience, "copy", refuse)
    found = [number async for batch in fetch(store, _all(100), 10**9) for number, _ in batch]
    assert found == list(range(100))
    assert store.count["get"] == 100


def _all(count: int) -> list[Range]:
    return [Range(n, f"{n}", 0, 10) for n in range(count)]


@pytest.mark.asyncio
async def test_whoever_stops_taking_leaves_no_reads() -> None:
    store = await filled({f"{n}": 10 for n in range(100)})
    store.stuck = {("5", 0)}
    stream = fetch(store, _all(100), 10**9)
    await anext(stream)
    await stream.aclose()
    assert store.reading == 0
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.asyncio
async def test_an_object_that_is_gone_or_shorter() -> None:
    store = await filled({"0": 10, "1": 9})
    with pytest.raises(af.IntegrityError, match="shorter"):
        [batch async for batch in fetch(store, _all(2), 100)]
    with pytest.raises(af.ObjectNotFound):
        [batch async for batch in fetch(store, _all(3)[2:], 100)]
    assert store.reading == 0


def test_patience_learns_and_has_a_budget() -> None:
    patience = Patience()
    for number in range(_patience.KNOWN):
        assert patience.limit() is None
        patience.begun()
        patience.took(1.0 + number)
    assert patience.limit() == pytest.approx(3 * 5.0)
    assert patience.copy()
    assert not patience.copy()
    for _ in range(100):
        patience.begun()
    assert [patience.copy() for _ in range(6)] == [True] * 4 + [False] * 2
    for _ in range(1000):
        patience.took(0.001)
    assert patience.limit() == _patience.AT_LEAST


# tables and runs


def joined(one: Any, other: Any) -> Any:
    """Associative, and not commutative: it tells the order."""
    return (*one, *other)


@settings(max_examples=100, deadline=None)
@given(tables=st.lists(PAIRS, max_size=6), runs=st.integers(1, 3), most=st.integers(1, 5))
@pytest.mark.parametrize("combine", [None, joined])
def test_tables_and_runs_keep_the_order_of_values(
    combine: Callable[[Any, Any], Any] | None, tables: list[Any], runs: int, most: int
) -> None:
    expected: dict[Any, list[Any]] = {}
    merged = Runs(combine)
    before, _runs.MOST_RUNS = _runs.MOST_RUNS, runs
    try:
        for pairs in tables:
            table = Table(combine)
            table.add((key, (value,)) for key, value in pairs)
            for key, value in pairs:
                expected.setdefault(key, []).append((value,))
            merged.add(table.drain(), most)
            assert len(merged) <= runs
        found = {key: list(values) for key, values in merged.merge()}
    finally:
        _runs.MOST_RUNS = before
        merged.close()
    if combine is not None:
        assert all(len(values) == 1 for values in found.values())
        found = {key: [(each,) for each in values[0]] for key, values in found.items()}
    assert found == expected


def test_values_that_are_not_looked_at_are_passed_over() -> None:
    runs = Runs(None)
    runs.add({"a": [1, 2, 3], "b": [4]}, 2)
    runs.add({"a": [5], "c": [6]}, 2)
    assert [key for key, _ in runs.merge()] == ["a", "b", "c"]
    runs.close()


@pytest.mark.parametrize("combine", [None, max])
def test_a_table_knows_about_how_much_it_holds(combine: Any) -> None:
    small, large = Table(combine), Table(combine)
    for start in range(0, 10_000, 100):
        small.add((n, 1) for n in range(start, start + 100))
        large.add((n, "x" * (1000 + n % 7)) for n in range(start, start + 100))
    assert 1_000_000 < small.bytes < 3_000_000
    assert 11_000_000 < large.bytes < 14_000_000
    large.drain()
    assert large.bytes == 0


def test_a_spool_gives_back_what_it_got_in_order() -> None:
    expected = [b"", b""]
    with Spool(2, memory=100) as spool:
        for number in range(100):
            piece = bytes([number]) * (number % 13)
            spool.append(number % 2, piece)
            expected[number % 2] += piece
        assert b"".join(spool.joined()) == b"".join(expected)
        assert spool.sizes == list(map(len, expected))


# tasks


SIZES = st.lists(st.lists(st.integers(0, 50), min_size=5, max_size=5), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(sizes=SIZES, most=st.integers(1, 300), least=st.integers(1, 8))
def test_tasks_have_every_partition_once(sizes: list[list[int]], most: int, least: int) -> None:
    told: list[Written] = []
    for number, row in enumerate(sizes):
        ends = [sum(row[: place + 1]) for place in range(5)]
        told.append(
            Written(
                f"m{number}" if ends[-1] else "", struct.pack("<5Q", *ends) if ends[-1] else b""
            )
        )
    layout = Layout(told, 5)
    tasks = [layout.task(*span) for span in layout.spans(most, least)]
    assert [n for task in tasks for n in range(task.first, task.first + task.length)] == [*range(5)]
    read: Counter[tuple[int, int]] = Counter()
    for task in tasks:
        width = task.length + 1
        bounds = struct.unpack(f"<{width * len(task.names)}Q", task.bounds)
        total = 0
        for place, name in enumerate(task.names):
            some = bounds[place * width : (place + 1) * width]
            assert some[0] < some[-1], "nothing is read of an object that has nothing"
            total += some[-1] - some[0]
            for step in range(task.length):
                read[int(name[1:]), task.first + step] += some[step + 1] - some[step]
        assert task.length == 1 or total <= most
    assert +read == +Counter({(m, p): n for m, row in enumerate(sizes) for p, n in enumerate(row)})


@pytest.mark.parametrize(("partitions", "tasks"), [(1, 1), (3, 3), (4, 4), (40, 4), (41, 4)])
def test_tasks_are_of_about_one_size(partitions: int, tasks: int) -> None:
    ends = struct.pack(f"<{partitions}Q", *(100 * n + n % 3 for n in range(1, partitions + 1)))
    layout = Layout([Written("a", ends)], partitions)
    found = [layout.task(*span) for span in layout.spans(10**9, 4)]
    assert len(found) == tasks
    assert max(task.length for task in found) - min(task.length for task in found) <= 1


def test_skew_is_told() -> None:
    layout = Layout([Written("a", struct.pack("<3Q", 10, 10, 70))], 3)
    assert figures(layout) == ShuffleStats(1, 3, 70, 2, 60, 60 * 3 / 70)
    assert figures(Layout([], 3)) == ShuffleStats(0, 3)
