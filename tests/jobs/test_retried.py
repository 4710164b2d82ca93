"""`retry()` of durable maps, while something of their life before still goes on."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric._run import Run
from asyncfabric.jobs import _driving
from asyncfabric.jobs._driving import READ_AT_ONCE
from asyncfabric.jobs._job import Job
from asyncfabric.jobs._results import Committed
from asyncfabric.jobs._sequence import Sequence
from asyncfabric_storage import LocalStore, MemoryStore, StorageError
from asyncfabric_storage._buffers import Data
from tests.api.until import passes, until
from tests.jobs.programs import opened, subject


class Held(LocalStore):
    """A store that creates some objects only when it is let."""

    def __init__(self, path: Path, held: Callable[[str], bool]) -> None:
        super().__init__(path)
        self.asked = asyncio.Event()
        self.go = asyncio.Event()
        self._held = held

    async def put_if_absent(self, key: str, data: Data) -> bool:
        if self._held(key):
            self.asked.set()
            await self.go.wait()
        return await super().put_if_absent(key, data)


async def test_the_end_of_the_life_before_is_not_that_of_the_retried(tmp_path: Path) -> None:
    store = Held(tmp_path / "store", lambda key: "/inputs/" in key)
    bad, read, begun = tmp_path / "bad", tmp_path / "read", tmp_path / "begun"
    bad.touch()

    async def call(x: int) -> int:
        if x == 2 and bad.exists():
            await until(read.exists)
            raise ValueError(x)
        if x == 2:
            begun.touch()
            await until(lambda: not begun.exists())
        return x

    async with af.Fabric("inline://", storage=store) as fabric:
        found = fabric.map(call, range(3), job="calls")
        first = asyncio.ensure_future(_result(found))
        await until(lambda: found.stats.finished == 2 and not _run(found).fan_out.input_open)
        read.touch()
        with pytest.raises(ValueError, match="2"):
            await first
        await store.asked.wait()  # all inputs are read, and none is left to be run
        bad.unlink()
        again = asyncio.ensure_future(_result(found.retry()))
        await until(begun.exists)
        store.go.set()
        await until(lambda: any((tmp_path / "store").rglob("ended")))
        await passes(100)
        seen = await af.jobs.show(fabric, "calls")
        assert (seen.done, seen.finished) == (2, False)
        begun.unlink()
        assert await again == [0, 1, 2]
        seen = await af.jobs.show(fabric, "calls")
        assert (seen.done, seen.total, seen.failed) == (3, 3, 0)


async def test_cancelled_while_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Job] = []

    async def check(self: Job) -> None:
        looks.append(self)
        await unpatched(self)

    unpatched = Job.check
    monkeypatch.setattr(Job, "check", check)
    monkeypatch.setattr(_driving, "LOOK_SECONDS", 0.01)
    store = Held(tmp_path / "store", lambda key: "/lease/" in key)
    go = tmp_path / "go"

    async def call(x: int) -> int:
        await until(go.exists)
        return x

    async with af.Fabric("inline://", storage=store) as fabric:
        found = fabric.map(call, range(3), job="calls")
        first = asyncio.ensure_future(_result(found))
        await store.asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        store.go.set()
        await until(lambda: not fabric._core.bind()._work)
        again = asyncio.ensure_future(_result(found.retry()))
        await until(lambda: len(looks) >= 5 or again.done())
        go.touch()
        assert await again == [0, 1, 2]
        assert (await af.jobs.show(fabric, "calls")).drivers == 2


async def test_failures_that_are_recorded_late(tmp_path: Path) -> None:
    store = Held(tmp_path / "store", lambda key: "/done/" in key)
    first_life, go = tmp_path / "first", tmp_path / "go"
    first_life.touch()

    async def call(x: int) -> int:
        if x == 1:
            await until(lambda: not first_life.exists())
        elif x == 0 and not first_life.exists():
            await until(go.exists)
        raise ValueError(x)

    async with af.Fabric("inline://", storage=store) as fabric:
        found = fabric.map(call, range(2), job="calls", chunksize=1, return_exceptions=True)
        first = asyncio.ensure_future(_result(found))
        await store.asked.wait()  # the failure of input 0 is being recorded
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        first_life.unlink()
        again = asyncio.ensure_future(_result(found.retry()))
        await until(found.failed)
        await passes(100)
        store.go.set()
        go.touch()
        assert [str(each) for each in await again] == ["0", "1"]


async def test_results_that_could_not_be_read_in_the_life_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    fail = asyncio.Event()

    async def result(self: Job, index: int, subject: bytes) -> Committed:
        if len(asked) < READ_AT_ONCE:
            asked.append(index)
            await fail.wait()
            raise StorageError("503")
        return await unpatched(self, index, subject)

    storage = (tmp_path / "store").as_uri()
    inputs = range(READ_AT_ONCE + 1)
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await fabric.map(abs, inputs, job="calls") == list(inputs)
        unpatched = Job.result
        monkeypatch.setattr(Job, "result", result)
        found = fabric.map(abs, inputs, job="calls", chunksize=READ_AT_ONCE)
        first = asyncio.ensure_future(_result(found))
        await until(lambda: len(asked) == READ_AT_ONCE)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = asyncio.ensure_future(_result(found.retry()))
        await passes(100)  # no more is read at once
        fail.set()
        assert await again == list(inputs)


async def test_how_many_failed_is_noted_by_who_knows(tmp_path: Path) -> None:
    store = Held(tmp_path / "store", lambda key: "/inputs/" in key)

    async def call(x: int) -> int:
        raise ValueError(x)

    async with af.Fabric("inline://", storage=store) as fabric:
        found = fabric.map(call, range(3), job="calls", return_exceptions=True)
        first = asyncio.ensure_future(_result(found))
        await store.asked.wait()  # everything is done, and that is to be noted
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = asyncio.ensure_future(_result(found.retry()))
        store.go.set()
        assert [str(each) for each in await again] == ["0", "1", "2"]
        assert (await af.jobs.show(fabric, "calls")).failed == 3


async def test_inputs_that_were_waited_for_in_the_life_before() -> None:
    job = await opened(MemoryStore())
    sequence = Sequence(job.inputs)
    waiting = asyncio.ensure_future(sequence.add([1], [subject(1)]))
    await passes()
    sequence.close()
    sequence.reopen()
    assert not await waiting  # it would keep the room of what it waits for
    assert await sequence.add([0, 1], [subject(0), subject(1)])


def _run(found: af.Map[int]) -> Run:
    run = found._run
    assert run is not None
    return run


async def _result(found: af.Map[int] | af.Map[int | Exception]) -> list[int | Exception]:
    return list(await found)
