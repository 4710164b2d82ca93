"""What is too large for an invocation goes through S3, and nothing of it is left there."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import asyncfabric as af

pytestmark = pytest.mark.timeout(120)
Numbers = NDArray[np.float64]
MEGABYTE = 1024 * 1024 // 8


def _doubled(numbers: Numbers) -> Numbers:
    numbers *= 2  # what comes in is the function's own
    return numbers


def _sum(numbers: Numbers, *, table: Numbers) -> float:
    return float(numbers.sum() + table.sum())


@pytest.fixture
def fabric(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> af.Fabric:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return af.Fabric(max_concurrency=4)


async def _keys(fabric: af.Fabric, prefix: str) -> list[str]:
    return [info.key async for info in fabric.store.list(prefix)]


async def test_large_inputs_and_results(fabric: af.Fabric) -> None:
    async with fabric:
        arrays = [np.full(MEGABYTE, float(x)) for x in range(4)]
        results = await fabric.map(_doubled, arrays)
        assert [float(each[0]) for each in results] == [0.0, 2.0, 4.0, 6.0]
        results[0][0] = 1.0  # and what comes back is the caller's
    async with af.Fabric() as another:  # the first one has tidied up by its end
        assert await _keys(another, "spill/") == []


async def test_shared_values_and_references(fabric: af.Fabric) -> None:
    async with fabric:
        table = np.ones(MEGABYTE)
        reference = await fabric.put(np.full(10, 3.0))
        refs = await fabric.map(_doubled, [np.ones(2), np.ones(3)], results="ref")
        given: Any = [reference, *refs]
        sums = await fabric.map(_sum, given, shared={"table": table})
        assert sums == [MEGABYTE + each for each in (30.0, 4.0, 6.0)]


async def test_small_ones_need_no_object_at_all(fabric: af.Fabric) -> None:
    async with fabric:
        assert await fabric.map(len, ["a", "bb"]) == [1, 2]
        assert await _keys(fabric, "") == []


async def test_a_missing_bucket_is_told_soon(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    storage = environment["ASYNCFABRIC_STORAGE"].replace("s3://af-", "s3://ag-")
    async with af.Fabric(storage=storage) as lost:
        with pytest.raises(af.ConfigurationError, match="there is no such bucket; create it"):
            await lost.map(_doubled, [np.ones(MEGABYTE)])
