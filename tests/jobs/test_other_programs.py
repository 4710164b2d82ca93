"""Which programs go on with a job: the same ones, and what is told to the others."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from tests.api.until import untyped
from tests.api.work import noted
from tests.jobs.durable import fails_at, noting, ten_times


async def refused(storage: str, message: str, begin: Callable[[af.Fabric], Any]) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(af.ConfigurationError, match=message) as caught:
            await begin(fabric)
    assert "asyncfabric jobs discard job-1" in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "difference"),
    [
        ([0, 1, 2, 3, 5], "input 4 is another one"),
        ([0, 1, 2, 3], "there were 5 of them, and now there are 4"),
        ([0, 1, 2, 3, 4, 5], "there were 5 of them, and now there are (6|more)"),
        ([0, 1, 2, 3, 4.0], "input 4 is another one"),
    ],
)
async def test_other_inputs_are_refused(
    storage: str, directory: str, inputs: list[Any], difference: str
) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        await fabric.map(ten_times(directory), range(5), job="job-1")
    before = noted(directory)
    await refused(
        storage, difference, lambda fabric: fabric.map(ten_times(directory), inputs, job="job-1")
    )
    assert noted(directory) == before


async def test_other_inputs_of_an_unfinished_job_are_refused_before_they_run(
    storage: str, directory: str
) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(ValueError, match="bad"):
            await fabric.map(fails_at(directory, 199), range(200), job="job-1")
    changed = [*range(199), 5000]
    await refused(
        storage,
        "inputs of job 'job-1' are not those",
        lambda fabric: fabric.map(fails_at(directory, 199), [7, *changed[1:]], job="job-1"),
    )


async def test_other_code_is_refused(storage: str, directory: str) -> None:
    rate = 2

    def price(x: int) -> int:
        return rate * x

    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await fabric.map(price, range(5), job="job-1") == [0, 2, 4, 6, 8]
        assert await fabric.map(price, range(5), job="job-1") == [0, 2, 4, 6, 8]
    rate = 3
    await refused(
        storage,
        "rate of its closure changed",
        lambda fabric: fabric.map(price, range(5), job="job-1"),
    )


async def test_other_terms_are_refused(storage: str) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        await fabric.map(abs, range(5), job="job-1", seed=7)
        await fabric.map(abs, range(5), job="job-1")  # whatever it was begun with
    await refused(storage, "seed", lambda f: f.map(abs, range(5), job="job-1", seed=8))
    await refused(storage, "results=", lambda f: f.map(abs, range(5), job="job-1", results="ref"))
    await refused(
        storage, "shared", lambda f: f.map(untyped(divmod), range(5), job="job-1", shared={"b": 1})
    )


async def test_a_version_stands_for_the_code(storage: str) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await fabric.map(lambda x: x, range(3), job="job-1", version="1") == [0, 1, 2]
        # The function that it was begun with runs on.
        assert await fabric.map(lambda x: -x, range(3), job="job-1", version="1") == [0, 1, 2]
    await refused(
        storage,
        "version",
        lambda f: f.map(lambda x: x, range(3), job="job-1", version="2"),
    )


@pytest.mark.parametrize("at_first", [True, False])
async def test_a_version_stands_for_the_initializer_too(
    storage: str, directory: str, at_first: bool
) -> None:
    note = noting(directory)

    def prepare() -> None:
        note("prepared")

    initializers = [prepare, None] if at_first else [None, prepare]
    for count, initializer in enumerate(initializers, 1):
        async with af.Fabric("inline://", storage=storage, initializer=initializer) as fabric:
            found = fabric.map(ten_times(directory), endless(count), job="job-1", version="1")
            assert [await anext(found) for _ in range(count)] == [0, 10][:count]
            await found.aclose()
            # What it was begun with runs on.
            assert noted(directory).get("prepared", 0) == (count if at_first else 0)


async def endless(count: int) -> AsyncIterator[int]:
    """Inputs that never end; so many come at once."""
    for each in range(count):
        yield each
    await asyncio.Event().wait()


async def test_shared_values_are_part_of_the_job(storage: str) -> None:
    def add(x: int, *, table: Any) -> int:
        return x + int(table.sum())

    for _ in range(2):
        async with af.Fabric("inline://", storage=storage) as fabric:
            shared = {"table": np.arange(4)}
            assert await fabric.map(add, range(3), job="job-1", shared=shared) == [6, 7, 8]
    await refused(
        storage,
        "table",
        lambda f: f.map(add, range(3), job="job-1", shared={"table": np.arange(5)}),
    )
