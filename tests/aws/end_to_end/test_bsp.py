"""Stages that exchange through S3, on functions that run the real runtime client."""

import operator
from collections import Counter

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric_storage import open_store
from tests.bsp import work

pytestmark = pytest.mark.timeout(120)
TEXTS = [" ".join(f"word{number % count}" for number in range(500)) for count in (7, 40, 300)]


@pytest.mark.parametrize("levels", [1, 2])
async def test_word_count_of_a_bucket(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, levels: int
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    address, _, options = environment["ASYNCFABRIC_STORAGE"].partition("?")
    source = open_store(f"{address}/texts?{options}")
    for number, text in enumerate(TEXTS):
        await source.put(f"{number}.txt", text.replace(" ", "\n").encode())
    await source.aclose()
    async with af.Fabric(max_concurrency=4) as fabric:
        chunks = bsp.chunks(f"{address}/texts?{options}", size="2kB")
        parts = await bsp.shuffle(
            fabric, work.words_of, chunks, work.total, partitions=9, combine=operator.add
        )
        found = [pair for part in parts for pair in part]
        assert dict(found) == Counter(" ".join(TEXTS).split())
        assert await fabric.map_reduce(work.length, chunks, work.added, associative=True) == 1500
        for prefix in ("shuffle/", "reduce/"):
            assert [info.key async for info in fabric.store.list(prefix)] == []
