"""Sorting Python values by key, against `sorted`."""

import operator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from tests.bsp.counting import CountingStore, keys_of

pytestmark = pytest.mark.asyncio

Value = tuple[int | str, int]
KEYS = st.lists(st.lists(st.integers(0, 9), max_size=30), max_size=40)


def given_ones(item: list[Value]) -> list[Value]:
    return item


def one_by_one(item: list[Value]) -> Any:
    yield from item


def key_of(value: Value) -> int | str:
    return value[0]


def numbered(keys: list[list[int]]) -> list[list[Value]]:
    return [[(key, 100 * n + at) for at, key in enumerate(own)] for n, own in enumerate(keys)]


@settings(max_examples=60, deadline=None)
@given(
    keys=KEYS,
    partitions=st.integers(1, 12),
    function=st.sampled_from([given_ones, one_by_one]),
)
async def test_as_python_sorts(keys: list[list[int]], partitions: int, function: Any) -> None:
    """Values of one key stay in the order of the items."""
    items, store = numbered(keys), CountingStore()
    async with af.Fabric("inline://", storage=store) as fabric:
        parts = await bsp.sort_by(fabric, function, items, key=key_of, partitions=partitions)
        assert len(parts) == partitions
        assert list(chain(*parts)) == sorted(chain(*items), key=key_of)
        assert await keys_of(store) == []


async def test_lines_of_files_in_ranges_of_one_size(tmp_path: Path) -> None:
    words = [f"{number * 7919 % 20_000:05}" for number in range(20_000)]
    (tmp_path / "words").write_text("\n".join(words))
    async with af.Fabric("local://?processes=2") as fabric:
        chunks = bsp.chunks(f"file://{tmp_path}", size=4000)
        sorting = bsp.sort_by(fabric, bsp.Chunk.lines, chunks, partitions=8)
        parts = [part async for part in sorting]
    assert list(chain(*parts)) == sorted(words)
    assert max(map(len, parts)) < 2 * 20_000 / 8
    assert sorting.stats.partitions == 8


async def test_what_is_sorted_already_is_divided_evenly() -> None:
    """Of each sampled item all values count, not the first ones."""
    items: list[list[Value]]
    items = [[(key, key) for key in range(n * 3000, (n + 1) * 3000)] for n in range(4)]
    async with af.Fabric("inline://") as fabric:
        parts = await bsp.sort_by(fabric, one_by_one, items, partitions=10)
    assert list(chain(*parts)) == list(chain(*items))
    assert max(map(len, parts)) < 1.2 * 12_000 / 10


async def test_values_that_do_not_fit_in_memory_are_spilled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_shuffle, "LEAST_MEMORY", 1)
    items = numbered([[n * 31 % 17 for n in range(500)], [n * 5 % 17 for n in range(500)]])
    async with af.Fabric("inline://") as fabric:
        parts = await bsp.sort_by(
            fabric, given_ones, items, key=key_of, partitions=3, memory=10_000
        )
    assert list(chain(*parts)) == sorted(chain(*items), key=key_of)


async def test_left_in_a_store(tmp_path: Path) -> None:
    items = numbered([[3, 1, 2], [1]])
    async with af.Fabric("inline://") as fabric:
        refs = await bsp.sort_by(
            fabric, given_ones, items, key=key_of, partitions=2, output=f"file://{tmp_path}"
        )
        parts = [await ref.get() for ref in refs]
    assert list(chain(*parts)) == sorted(chain(*items), key=key_of)


@pytest.mark.parametrize(
    ("items", "options", "error", "message"),
    [
        ([[(1, 0), ("a", 0)]], {"key": key_of}, TypeError, "give a key= whose results"),
        ([[(float("nan"), 0)]], {"key": key_of}, ValueError, "no place in an order"),
        ([], {"partitions": 0}, ValueError, "partitions=0"),
        ([], {"key": 3}, TypeError, "key=3 can't be called"),
        ([], {"memory": "1KiB"}, ValueError, "at least '1MiB'"),
        ([], {"output": "here"}, ValueError, "is no URL"),
    ],
)
async def test_what_makes_no_sense(
    items: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    sort_by: Any = bsp.sort_by
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(error) as raised:
            await sort_by(fabric, given_ones, items, **({"partitions": 2} | options))
    assert message in "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])


RUNS: list[int] = []


@af.function(retry=af.Retry(on=(ConnectionError,), base=0.0))
def stubborn(item: int) -> list[int]:
    RUNS.append(item)
    if len(RUNS) in {1, 3}:  # the first time that it is sampled, and that it is mapped
        raise ConnectionError
    return [item]


async def test_options_ride_on_the_function() -> None:
    RUNS.clear()
    async with af.Fabric("inline://") as fabric:
        parts = await bsp.sort_by(fabric, stubborn, [5], key=operator.neg, partitions=2)
    assert (list(chain(*parts)), RUNS) == ([5], [5] * 4)
