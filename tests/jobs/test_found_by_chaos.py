"""What tests/chaos has found, one test each."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric_storage import ObjectStore

from .programs import Counting, opened, run_all


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)
    return (tmp_path / "store").as_uri()


async def test_a_map_that_failed_is_not_noted_as_finished(storage: str, tmp_path: Path) -> None:
    """Though nothing else was left to be done when a call failed for the last time."""
    bad = tmp_path / "bad"
    bad.touch()

    def call(x: int) -> int:
        if x == 0 and bad.exists():
            raise ValueError(x)
        return x

    retry = af.Retry(attempts=2, on=(ValueError,))
    async with af.Fabric("inline://", storage=storage, retry=retry) as fabric:
        with pytest.raises(ValueError, match="0"):
            await fabric.map(call, range(3), job="calls", chunksize=1)
    seen = await af.jobs.show(storage, "calls")
    assert (seen.done, seen.finished) == (2, False)
    bad.unlink()
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await fabric.map(call, range(3), job="calls") == [0, 1, 2]
    seen = await af.jobs.show(storage, "calls")
    assert (seen.done, seen.total, seen.failed) == (3, 3, 0)


class SlowToAnswer(Counting):
    """Creates the manifest, and says so when another program has done the job."""

    def __init__(self, inner: ObjectStore, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(inner)
        self._meanwhile = meanwhile

    async def put_if_absent(self, key: str, data: Any) -> bool:
        created = await super().put_if_absent(key, data)
        if created and "/names/" in key:
            await self._meanwhile()
        return created


async def test_the_driver_that_began_a_job_may_be_the_second(store: ObjectStore) -> None:
    async def meanwhile() -> None:
        job = await opened(store)
        await run_all(store, job, range(3), lambda value: b"%d" % value)

    job = await opened(SlowToAnswer(store, meanwhile))
    assert job.lease.epoch == 2
    assert list(job.done) == [0, 1, 2]
    assert job.inputs.total == 3
