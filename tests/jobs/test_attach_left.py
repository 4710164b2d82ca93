"""The results of a job that was launched and left: what its workers did, and noted of failures."""

import asyncio
from typing import Any

import pytest

from asyncfabric import RemoteError
from asyncfabric import jobs as af_jobs
from asyncfabric.jobs import Attached, Unfinished, _attach
from asyncfabric.jobs._job import Job
from asyncfabric.jobs._keys import job_key
from asyncfabric.jobs._notes import leave
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage._notes import note
from tests.jobs.programs import KEY, attempt, opened
from tests.jobs.test_attach import do, end, key, listed, virtually

__all__ = ["key"]


async def left(store: ObjectStore, job: Job, total: int) -> None:
    """What a launcher does at its end."""
    await end(job, total)
    key = await job_key(KEY, job.manifest.name, job.manifest.area)
    await leave(store, job.root, key, job.lease.epoch, total)


async def fails(store: ObjectStore, job: Job, index: int) -> None:
    tried = attempt(job, index, index, number=job.lease.epoch)
    failed = dict.fromkeys(("kind", "type_name", "message", "traceback"), "user")
    await note(store, tried, **failed, pickled=b"")


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every driver has ended."""

    def gone(host: str, pid: int) -> bool:
        return True

    monkeypatch.setattr(_attach, "is_gone", gone)


async def shown(attached: Attached) -> list[Any]:
    """Exceptions by their name."""
    return [
        type(value).__name__ if isinstance(value, Exception) else value
        for value in await listed(attached)
    ]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("ordered", [True, False])
def test_failures_that_were_noted(ordered: bool) -> None:
    """A job that was left needs no driver; it has ended when each input is done or noted."""
    store = MemoryStore()

    async def main() -> None:
        job = await opened(store)
        await left(store, job, 4)
        await do(store, job, 3, 3)
        await fails(store, job, 1)

        async def work() -> None:
            await asyncio.sleep(50)
            await do(store, job, 0, 0)
            await asyncio.sleep(50)
            await fails(store, job, 2)

        working = asyncio.ensure_future(work())
        results = await shown(
            af_jobs.attach(store, "prices", ordered=ordered, return_exceptions=True)
        )
        wanted = [0, "RemoteError", "RemoteError", 3]
        assert results == (wanted if ordered else [3, "RemoteError", 0, "RemoteError"])
        await working
        with pytest.raises(RemoteError) as caught:
            await af_jobs.attach(store, "prices")
        assert caught.value.__notes__ == ["asyncfabric: input 1 of job 'prices', attempt 1"]

    virtually(main)


@pytest.mark.usefixtures("nobody")
def test_a_call_that_is_done_has_not_failed() -> None:
    """Of an event that was delivered twice, one execution may succeed: each is told once."""
    store = MemoryStore()

    async def main() -> None:
        job = await opened(store)
        await left(store, job, 2)
        await fails(store, job, 0)
        stream = af_jobs.attach(store, "prices", ordered=False, return_exceptions=True)
        assert isinstance(await anext(stream), RemoteError)
        await do(store, job, 0, "zero")
        await do(store, job, 1, "one")
        assert await listed(stream) == ["one"]
        assert await af_jobs.attach(store, "prices") == ["zero", "one"]

    virtually(main)


@pytest.mark.usefixtures("nobody")
def test_failures_of_an_earlier_launch_are_tried_again() -> None:
    store = MemoryStore()

    async def main() -> list[Any]:
        first = await opened(store)
        await left(store, first, 2)
        await fails(store, first, 0)
        second = await opened(store)
        await left(store, second, 2)

        async def work() -> None:
            await asyncio.sleep(50)
            await do(store, second, 0, "again")
            await fails(store, second, 1)

        working = asyncio.ensure_future(work())
        found = await shown(af_jobs.attach(store, "prices", return_exceptions=True))
        await working
        return found

    assert virtually(main) == ["again", "RemoteError"]


@pytest.mark.usefixtures("nobody")
def test_launched_again_while_it_is_followed() -> None:
    """A failure that was not told yet is none any more."""
    store = MemoryStore()

    async def main() -> list[Any]:
        first = await opened(store)
        await left(store, first, 2)
        await fails(store, first, 1)

        async def work() -> None:
            await asyncio.sleep(100)
            second = await opened(store)
            await left(store, second, 2)
            await asyncio.sleep(100)
            await do(store, second, 0, "zero")
            await asyncio.sleep(100)
            await do(store, second, 1, "one")

        working = asyncio.ensure_future(work())
        found = await af_jobs.attach(store, "prices")
        await working
        return found

    assert virtually(main) == ["zero", "one"]


@pytest.mark.usefixtures("nobody")
def test_events_that_were_lost() -> None:
    store = MemoryStore()

    async def main() -> float:
        job = await opened(store)
        await left(store, job, 3)
        await do(store, job, 0, 0)
        with pytest.raises(Unfinished, match="1 of 3 inputs done: the workers of the others"):
            await af_jobs.attach(store, "prices")
        return asyncio.get_running_loop().time()

    assert 1800 <= virtually(main) < 1820


@pytest.mark.usefixtures("nobody")
def test_a_launcher_that_died_before_its_end() -> None:
    store = MemoryStore()

    async def main() -> None:
        job = await opened(store)
        await fails(store, job, 0)
        with pytest.raises(Unfinished, match="has ended"):
            await af_jobs.attach(store, "prices")

    virtually(main)
