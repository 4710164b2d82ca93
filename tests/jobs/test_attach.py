"""The results of a job that another process drives, or drove, on virtual time."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from asyncfabric import ConfigurationError, Fabric, IntegrityError, RemoteError
from asyncfabric import jobs as af_jobs
from asyncfabric.jobs import Attached, Unfinished, _attach
from asyncfabric.jobs._job import Job
from asyncfabric.jobs._listing import discard
from asyncfabric.jobs._results import Failed
from asyncfabric.testing._simulated._loop import VirtualLoop
from asyncfabric_runtime._packing import pack_object
from asyncfabric_storage import MemoryStore, ObjectStore
from asyncfabric_storage._commits import INLINE_BYTES, commit
from tests.jobs.programs import attempt, opened, subject
from tests.jobs.stepping import at_once

KEY = "6b" * 32  # as tests.jobs.programs has it
FAILURE = Failed("user", "ValueError", "no", "Traceback ...", b"", 0)
T = TypeVar("T")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", KEY)


def virtually(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def do(store: ObjectStore, job: Job, index: int, value: object) -> None:
    await commit(store, attempt(job, index, index), "pickle", pack_object(value))


async def end(job: Job, total: int) -> None:
    await job.inputs.add([subject(index) for index in range(total)])
    await job.inputs.end()


async def finished(store: ObjectStore, total: int) -> Job:
    job = await opened(store)
    for index in range(total):
        await do(store, job, index, index * index)
    await end(job, total)
    return job


async def listed(attached: Attached) -> list[Any]:
    return [value async for value in attached]


async def test_what_is_done_is_there(store: ObjectStore) -> None:
    await finished(store, 100)
    squares = [index * index for index in range(100)]
    assert await af_jobs.attach(store, "prices") == squares
    assert await listed(af_jobs.attach(store, "prices")) == squares
    assert sorted(await listed(af_jobs.attach(store, "prices", ordered=False))) == squares
    pairs = af_jobs.attach(store, "prices", ordered=False).items()
    assert dict([pair async for pair in pairs]) == dict(enumerate(squares))


async def test_no_inputs(store: ObjectStore) -> None:
    await finished(store, 0)
    assert await af_jobs.attach(store, "prices") == []


async def test_a_url_and_a_fabric(tmp_path: Any) -> None:
    url = f"file://{tmp_path}/store"
    async with Fabric("inline://", storage=url) as fabric:
        await finished(fabric.store, 3)
        assert await af_jobs.attach(fabric, "prices") == [0, 1, 4]
        assert await af_jobs.attach(url, "prices") == [0, 1, 4]
        async with af_jobs.attach(url, "prices") as stream:
            async for value in stream:
                assert value == 0
                break
        assert await listed(stream) == []


@pytest.mark.parametrize("where", [7, None, "here", "ftp://x/y"])
async def test_what_is_no_store(where: Any) -> None:
    with pytest.raises(ConfigurationError):
        await af_jobs.attach(where, "prices")


async def test_large_values_a_few_at_a_time(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_attach, "_BYTES", 3 * INLINE_BYTES)
    job = await opened(store)
    values = [bytes([index]) * (INLINE_BYTES + index) for index in range(8)]
    for index, value in enumerate(values):
        await do(store, job, index, value)
    await end(job, 8)
    assert await af_jobs.attach(store, "prices") == values


def test_results_as_they_come() -> None:
    """In order, or as they come; ends when all are there."""
    store = MemoryStore()

    async def main() -> tuple[list[Any], list[Any]]:
        job = await opened(store)

        async def drive() -> None:
            for index in (2, 0, 3, 1):
                await asyncio.sleep(100)
                await do(store, job, index, index)
            await asyncio.sleep(1000)
            await end(job, 4)

        driving = asyncio.ensure_future(drive())
        both = await asyncio.gather(
            listed(af_jobs.attach(store, "prices")),
            listed(af_jobs.attach(store, "prices", ordered=False)),
        )
        assert driving.done()
        return both[0], both[1]

    assert virtually(main) == ([0, 1, 2, 3], [2, 0, 3, 1])


async def test_failures(store: ObjectStore) -> None:
    job = await opened(store)
    await do(store, job, 0, 0)
    await job.fail(1, 3, subject(1), FAILURE)
    await do(store, job, 2, ValueError("a value"))
    await end(job, 3)
    with pytest.raises(RemoteError, match="no") as caught:
        await af_jobs.attach(store, "prices")
    assert caught.value.__notes__ == ["asyncfabric: input 1 of job 'prices', attempt 3"]
    first, failed, value = await af_jobs.attach(store, "prices", return_exceptions=True)
    assert (first, type(failed), str(value)) == (0, RemoteError, "a value")
    stream = af_jobs.attach(store, "prices")
    assert await anext(stream) == 0
    with pytest.raises(RemoteError):
        await anext(stream)
    assert await listed(stream) == []


async def test_one_use(store: ObjectStore) -> None:
    await finished(store, 2)
    attached = af_jobs.attach(store, "prices")
    assert await attached == [0, 1]
    with pytest.raises(RuntimeError, match="was awaited already"):
        await attached
    with pytest.raises(RuntimeError, match="attach"):
        _ = aiter(attached)


async def test_no_job_another_key_other_codec(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="there is no job 'prices'"):
        await af_jobs.attach(store, "prices")
    job = await opened(store)
    await commit(store, attempt(job, 0, 0), "smoke", b"signals")
    await end(job, 1)
    with pytest.raises(IntegrityError, match="smoke"):
        await af_jobs.attach(store, "prices")
    monkeypatch.setenv("ASYNCFABRIC_KEY", "00" * 32)
    with pytest.raises(IntegrityError, match="ASYNCFABRIC_KEY"):
        await af_jobs.attach(store, "prices")


@pytest.mark.parametrize("patience", [-1, float("nan")])
def test_patience_that_makes_no_sense(patience: float) -> None:
    with pytest.raises(ConfigurationError, match="patience"):
        _ = af_jobs.attach(MemoryStore(), "prices", patience=patience)


# -- no driver ----------------------------------------------------------------------------------


def test_a_driver_on_this_machine_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known at the second look; what it committed before comes first."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    store = MemoryStore()

    async def main() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: process.pid)
            job = await opened(store)
        await do(store, job, 0, "done")
        attached = af_jobs.attach(store, "prices")
        assert await anext(attached) == "done"
        with pytest.raises(Unfinished, match=f"process {process.pid}.*has ended") as caught:
            await anext(attached)
        assert (caught.value.done, caught.value.total) == (1, None)
        await end(job, 1)
        assert await af_jobs.attach(store, "prices") == ["done"]

    virtually(main)


def test_what_a_driver_did_last_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may finish the job between a look at results and the one at itself."""
    store = MemoryStore()

    async def main() -> list[Any]:
        job = await opened(store)

        async def finish() -> None:
            await do(store, job, 0, "last")
            await end(job, 1)

        last = [finish()]

        def ends(host: str, pid: int) -> bool:
            if last:
                at_once(last.pop())
            return True

        monkeypatch.setattr(_attach, "is_gone", ends)
        return await af_jobs.attach(store, "prices")

    assert virtually(main) == ["last"]


def test_nothing_for_too_long() -> None:
    """From the last news on; counted by the follower's own clock."""
    store = MemoryStore()

    async def main() -> float:
        job = await opened(store)
        loop = asyncio.get_running_loop()
        loop.call_later(90, lambda: asyncio.ensure_future(do(store, job, 1, 1)))
        with pytest.raises(Unfinished, match="nothing of job 'prices' got done for 100 s"):
            await af_jobs.attach(store, "prices", patience=100)
        return loop.time()

    assert 190 <= virtually(main) < 220


def test_another_driver_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()

    async def main() -> list[Any]:
        first = await opened(store)

        def gone(host: str, pid: int) -> bool:
            return pid == first.lease.pid

        monkeypatch.setattr(_attach, "is_gone", gone)
        monkeypatch.setattr(os, "getpid", lambda: first.lease.pid + 1)
        second = await opened(store)

        async def drive() -> None:
            await asyncio.sleep(500)
            await do(store, second, 0, "second")
            await end(second, 1)

        driving = asyncio.ensure_future(drive())
        results = await af_jobs.attach(store, "prices")
        await driving
        return results

    assert virtually(main) == ["second"]


@pytest.mark.parametrize("again", [False, True])
def test_discarded_while_followed(again: bool) -> None:
    store = MemoryStore()

    async def main() -> None:
        await opened(store)

        async def go() -> None:
            await asyncio.sleep(5)
            await discard(store, "prices")
            if again:
                await opened(store)

        going = asyncio.ensure_future(go())
        with pytest.raises(Unfinished, match="was discarded"):
            await af_jobs.attach(store, "prices")
        await going

    virtually(main)


def test_the_longer_nothing_comes_the_fewer_requests() -> None:
    """An hour of silence costs some 400 looks."""
    store = MemoryStore()
    looks = 0

    async def main() -> None:
        nonlocal looks
        await opened(store)
        attached = af_jobs.attach(store, "prices", patience=3600)
        listing = store.list

        def counted(prefix: str = "") -> Any:
            nonlocal looks
            looks += prefix.count("/done/")
            return listing(prefix)

        store.list = counted  # type: ignore[method-assign]
        with pytest.raises(Unfinished):
            await attached

    virtually(main)
    assert 300 < looks < 2000


async def test_a_temporary_store_has_no_jobs_of_others() -> None:
    async with Fabric("inline://") as fabric:
        with pytest.raises(ConfigurationError, match="give the Fabric the storage= that the job"):
            await af_jobs.show(fabric, "prices")
