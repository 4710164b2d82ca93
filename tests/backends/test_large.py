"""Frames larger than any buffer of the system, both ways."""

from typing import Any

import numpy as np
import pytest

import asyncfabric as af


def _double(array: Any) -> Any:
    array *= 2
    return array


@pytest.mark.every_loop
async def test_64_megabytes_both_ways() -> None:
    array = np.arange(8 << 20, dtype=np.float64)
    async with af.Fabric("local://?processes=2") as fabric:
        results = await fabric.map(_double, [array, array])
    assert all(np.array_equal(each, array * 2) for each in results)
    assert array[3] == 3


async def test_many_large_frames_at_once() -> None:
    """More than any socket takes: both ends write while the other is writing, too."""

    def make(x: int) -> Any:
        return np.full(1 << 20, x % 256, np.uint8)

    inputs = [np.full(1 << 20, x, np.uint8) for x in range(100)]
    async with af.Fabric("local://?processes=2") as fabric:
        results = await fabric.map(lambda each: each[::-1].copy(), inputs)
        assert [int(each[5]) for each in results] == list(range(100))
        total = 0
        async for each in fabric.map(make, range(200), ordered=False):
            total += int(each[0])
    assert total == sum(x % 256 for x in range(200))


async def test_large_text_and_bytes() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        for value in ("x" * 5_000_000, b"x" * 5_000_000, bytearray(5_000_000), [b"x" * 70_000]):
            back = await fabric.submit(_same, value)
            assert type(back) is type(value)
            assert back == value


def _same(value: Any) -> Any:
    return value
