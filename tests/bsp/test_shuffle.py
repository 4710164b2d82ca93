"""Shuffle against plain Python: every value at its key, in order, and nothing left behind."""

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric_runtime._bsp._keys import stable_hash
from tests.bsp import work
from tests.bsp.counting import CountingStore, keys_of
from tests.bsp.test_keys import CLASHING

pytestmark = pytest.mark.asyncio

KEYS = CLASHING | st.text(max_size=2)
ITEMS = st.lists(
    st.lists(st.tuples(KEYS, st.integers().map(lambda n: (n,))), max_size=8), max_size=6
)


def plainly(items: list[list[tuple[Any, Any]]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for item in items:
        for key, value in item:
            found.setdefault(key, []).append(value)
    return found


@settings(max_examples=60, deadline=None)
@given(
    items=ITEMS,
    partitions=st.integers(1, 40),
    combine=st.sampled_from([None, work.joined]),
    function=st.sampled_from([work.given, work.one_by_one]),
)
async def test_as_plain_python_does(
    items: list[list[tuple[Any, Any]]],
    partitions: int,
    combine: Callable[[Any, Any], Any] | None,
    function: Any,
) -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        parts = await bsp.shuffle(
            fabric, function, items, work.kept, partitions=partitions, combine=combine
        )
    assert len(parts) == partitions
    found = [pair for part in parts for pair in part]
    expected = plainly(items)
    if combine is not None:
        found = [(key, [(each,) for each in values[0]]) for key, values in found]
    assert len(found) == len(expected)
    assert dict(found) == expected
    for number, part in enumerate(parts):
        assert all(stable_hash(key) * partitions >> 32 == number for key, _ in part)
    assert await keys_of(store) == []


@pytest.mark.parametrize(("partitions", "tasks"), [(3, 3), (4, 4), (40, 4)])
async def test_as_many_requests_as_promised(partitions: int, tasks: int) -> None:
    """W writes, and one read for each mapper and task: neighbouring partitions are read as one."""
    store = CountingStore()
    items = [[(number, 1) for number in range(1000)] for _ in range(10)]
    async with af.Fabric("inline://", storage=store) as fabric:
        shuffle = bsp.shuffle(fabric, work.given, [*items, []], work.kept, partitions=partitions)
        await shuffle
    assert store.count == {"put": 10, "get": 10 * tasks, "list": 1, "delete": 10}
    assert shuffle.stats.mappers == 10
    assert shuffle.stats.partitions == partitions


async def test_what_is_empty_costs_no_request() -> None:
    store = CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        parts = await bsp.shuffle(
            fabric, work.given, [[("a", 1)], [("b", 2)], []], work.kept, partitions=50
        )
        assert sum(map(len, parts)) == 2
        assert store.count == {"put": 2, "get": 2, "list": 1, "delete": 2}
        store.count.clear()
        assert await bsp.shuffle(fabric, work.given, [], work.kept, partitions=2) == [[], []]
        assert store.count == {"list": 1}


TEXTS = ["to be or not to be", "be quick", "or not"]


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
async def test_word_count(backend: str) -> None:
    expected = Counter(" ".join(TEXTS).split())
    async with af.Fabric(backend) as fabric:
        shuffle = bsp.shuffle(
            fabric, work.words, TEXTS, work.total, partitions=3, combine=operator.add
        )
        found = [pair async for part in shuffle for pair in part]
        assert dict(found) == expected
        assert len(found) == len(expected)
        assert await keys_of(fabric.store) == []


async def test_functions_of_main_and_generators_of_results() -> None:
    def words(text: str) -> list[tuple[str, int]]:
        return [(word, 1) for word in text.split()]

    async with af.Fabric("inline://") as fabric:
        parts = await bsp.shuffle(fabric, words, TEXTS, work.frequent, partitions=2)
    assert sorted(word for part in parts for word in part) == ["be", "be", "not", "or", "to"]


async def test_partitions_by_ones_own_function() -> None:
    async with af.Fabric("inline://") as fabric:
        parts = await bsp.shuffle(
            fabric, work.one_each, range(7), work.kept, partitions=3, partition=operator.pos
        )
    assert [[key for key, _ in part] for part in parts] == [[0, 3, 6], [1, 4], [2, 5]]


async def test_it_is_done_once() -> None:
    async with af.Fabric("inline://") as fabric:
        shuffle = bsp.shuffle(fabric, work.one_each, [1], work.kept, partitions=1)
        await shuffle
        with pytest.raises(RuntimeError, match="is done once"):
            await shuffle
        other = bsp.shuffle(fabric, work.one_each, [1], work.kept, partitions=1)
        await other.aclose()
        with pytest.raises(RuntimeError, match="is done once"):
            await other


async def nothing(_: object) -> list[tuple[int, int]]:
    return []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"partitions": 0}, "from 1 to"),
        ({"memory": "1kB"}, "at least"),
        ({"memory": "much"}, "is no size"),
        ({"map_fn": nothing}, "map_fn is a coroutine function"),
        ({"map_fn": 3}, "can't be called"),
        ({"combine": 3}, "combine=3 can't be called"),
        ({"items": 3}, "must be iterable"),
    ],
)
async def test_arguments_that_make_no_sense(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "map_fn": work.given, "items": [], "reduce_fn": work.kept, "partitions": 1, **change,
    }  # fmt: skip
    positional = [given.pop(name) for name in ("map_fn", "items", "reduce_fn")]
    async with af.Fabric("inline://") as fabric:
        with pytest.raises((TypeError, ValueError), match=message):
            await bsp.shuffle(fabric, *positional, **given)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (3, "given has to give .*pairs.*it returned 3"),
        (["word"], "it gave 'word'; give for example"),
        ([([1], 2)], r"use tuple\(key\)"),
        ([(1, 2, 3)], "it gave"),
        ([(float("nan"), 1)], "NaN"),
        ([("a", 1), (float("nan"), 1)], "NaN"),
        ([("a", 1), None], "it gave None; give for example"),
        ([("a", 1), ("b", 2, 3)], r"it gave \('b', 2, 3\)"),
        ([("a", 1), 5], "it gave 5"),
        ([("a", 1), ({"b": 1}, 2)], r"use tuple\(sorted\(key.items\(\)\)\)"),
        ([("a", 1), (("b", [1]), 2)], r"use tuple\(key\)"),
    ],
)
@pytest.mark.parametrize("combine", [None, work.joined])
async def test_mappers_that_give_no_pairs(combine: Any, result: Any, message: str) -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(TypeError, match=message):
            await bsp.shuffle(
                fabric, work.given, [result], work.kept, partitions=2, combine=combine
            )


async def test_errors_of_a_generator_or_of_combine_are_their_own() -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(TypeError, match=r"unsupported operand.*NoneType"):
            await bsp.shuffle(fabric, work.adds_none, [1], work.kept, partitions=1)
        with pytest.raises(TypeError, match="concatenate"):
            await bsp.shuffle(
                fabric, work.given, [[("a", ""), ("a", 1)]], work.kept, partitions=1,
                combine=operator.add,
            )  # fmt: skip


async def test_a_mapping_without_combine() -> None:
    async with af.Fabric("inline://") as fabric:
        [part] = await bsp.shuffle(fabric, work.words, TEXTS, work.kept, partitions=1)
    assert dict(part)["be"] == [2, 1]


def last(_: str, values: Iterator[int]) -> int:
    return list(values)[-1]


async def test_types() -> None:
    """Read by the type checkers; run so that it is right, too."""
    async with af.Fabric("inline://") as fabric:
        numbers: list[list[int]] = await bsp.shuffle(fabric, work.words, TEXTS, last, partitions=1)
        names: list[list[str]] = await bsp.shuffle(
            fabric, work.words, TEXTS, work.frequent, partitions=1
        )
    assert isinstance(numbers[0][0], int)
    assert isinstance(names[0][0], str)


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
async def test_results_that_stay_in_a_store(backend: str, tmp_path: Path) -> None:
    expected = Counter(" ".join(TEXTS).split())
    async with af.Fabric(backend) as fabric:
        refs = await bsp.shuffle(
            fabric, work.words, TEXTS, work.total, partitions=3, output=f"file://{tmp_path}/out"
        )
        assert await keys_of(fabric.store) == []
    found = [pair for ref in refs for pair in await ref.get()]
    assert dict(found) == expected
    assert sum(1 for path in (tmp_path / "out").rglob("*") if path.is_file()) == 3
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(ValueError, match="output='here' is no URL"):
            await bsp.shuffle(fabric, work.words, TEXTS, work.total, partitions=3, output="here")


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
@pytest.mark.parametrize("combine", [None, work.joined])
async def test_two_levels_give_the_same(
    backend: str, combine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1)
    items = [[(key % 7, (number, key)) for key in range(number)] for number in range(12)]
    async with af.Fabric(backend) as fabric:
        shuffle = bsp.shuffle(
            fabric, work.given, items, work.kept, partitions=9, combine=combine, memory="1MiB"
        )
        found = {key: values for part in await shuffle for key, values in part}
        assert await keys_of(fabric.store) == []
    expected = plainly(items)
    if combine is not None:
        expected = {key: [sum(values, ())] for key, values in expected.items()}
    assert found == expected


@pytest.mark.parametrize("mappers", [100, 99, 50])
async def test_requests_of_two_levels(mappers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 W sqrt(W) reads and W + sqrt(W) sqrt(W) writes, where one level had W times W reads."""
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1)
    monkeypatch.setattr(_shuffle, "TASKS_A_PLACE", mappers)
    store = CountingStore()
    items = [[(number, 1) for number in range(mappers)] for _ in range(mappers)]
    async with af.Fabric("inline://", storage=store) as fabric:
        parts = await bsp.shuffle(
            fabric, work.given, items, work.kept, partitions=mappers, partition=operator.pos
        )
    assert [len(part[0][1]) for part in parts] == [mappers] * mappers
    root = math.isqrt(mappers - 1) + 1
    sets = -(-mappers // root)
    assert store.count["put"] == mappers + sets * sets
    assert store.count["get"] == 2 * mappers * sets
    assert store.count["list"] == 1


@pytest.mark.parametrize("options", [{"trust": "data"}, {"code": "deployed"}])
async def test_fabrics_that_take_data_only(options: dict[str, Any]) -> None:
    """Refused, and not done with less than was asked for."""
    async with af.Fabric("inline://", **options) as fabric:
        for begin in (
            lambda: bsp.shuffle(fabric, work.given, [], work.kept, partitions=1),
            lambda: bsp.sort_by(fabric, work.given, [], partitions=1),
            lambda: bsp.sort(fabric, "memory://", "memory://"),
            lambda: bsp.validate(fabric, "memory://"),
            lambda: fabric.map_reduce(work.square, [], work.added),
        ):
            doing: Any = begin
            with pytest.raises(af.ConfigurationError, match='trust="data" or code="deployed"'):
                await doing()


async def test_chunks_on_fabrics_that_take_data_only(tmp_path: Path) -> None:
    """Results may be data; as inputs chunks would let a caller read any file of the worker's."""
    (tmp_path / "a").write_bytes(b"1\n2\n")
    chunks = bsp.chunks(tmp_path.as_uri())
    async with af.Fabric("inline://", trust="data") as fabric:
        assert await fabric.map(work.lines_in, chunks) == [2]
    async with af.Fabric("inline://", code="deployed") as fabric:
        with pytest.raises(af.SerializationError, match=r"have it iterate over .*chunks\(url\)"):
            await fabric.map(work.lines_in, chunks)
        assert await fabric.map(work.lines_below, [tmp_path.as_uri()]) == [2]
