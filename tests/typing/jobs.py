"""What `asyncfabric.jobs` is typed as. Checked, never run."""

# mypy: disable-error-code="unused-awaitable"

from typing import Any, assert_type

import asyncfabric as af
from tests.typing.functions import fetch, later, price, simulate


async def launched(fabric: af.Fabric) -> None:
    assert_type(await af.jobs.launch(fabric, price, [1, 2], job="a"), af.jobs.Launched)
    await af.jobs.launch(fabric, fetch, ["x"], job="a", chunksize=2)
    await af.jobs.launch(fabric, price, later(), job="a", results="ref", version="2", seed=1)
    await af.jobs.launch(fabric, simulate, [1], job="a", shared={"market": [1.0]})
    await af.jobs.launch(fabric, lambda x: x + 1, range(3), job="a")


async def attached(fabric: af.Fabric) -> None:
    """What a job's results are, is known to who began it only."""
    assert_type(await af.jobs.attach(fabric, "a"), list[Any])
    assert_type(await af.jobs.attach(fabric.store, "a", patience=1), list[Any])
    async for value in af.jobs.attach("s3://b/c", "a", ordered=False, return_exceptions=True):
        assert_type(value, Any)
    async with af.jobs.attach(fabric, "a") as stream:
        assert_type(stream, af.jobs.Attached)
        async for index, value in stream.items():
            assert_type(index, int)
            assert_type(value, Any)


async def managed(fabric: af.Fabric) -> None:
    assert_type(await af.jobs.list(fabric), list[str])
    shown = await af.jobs.show("file:///jobs", "a")
    assert_type(shown, af.jobs.Summary)
    assert_type(shown.total, int | None)
    assert_type(await af.jobs.discard(fabric, "a"), int)
    assert_type(await af.jobs.gc(fabric, grace=60), af.jobs.Collected)
