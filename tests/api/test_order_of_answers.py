"""Coroutine calls that share an invocation end in any order; each gets its own answer."""

import asyncio

import pytest

import asyncfabric as af

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _wait_for_later_ones(x: int) -> int:
    # 0, 2, 1, 3: first and last are where a run in order would have them
    for _ in range({0: 1, 1: 20, 2: 10, 3: 30}[x]):
        await asyncio.sleep(0)
    return x


async def test_answers_that_come_together(fabric: af.Fabric) -> None:
    refs = await fabric.map(_wait_for_later_ones, range(4), results="ref", chunksize=4)
    assert [await ref.get() for ref in refs] == [0, 1, 2, 3]
