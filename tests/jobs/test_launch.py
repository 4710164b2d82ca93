"""What `launch` refuses, and how it reads its inputs: with a service that is played."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric._leaving import _READ, AT_ONCE, Counts, Leaving
from asyncfabric.jobs import TakenOver
from asyncfabric.jobs._job import Job
from asyncfabric.jobs._listing import summarize
from asyncfabric_runtime import Envelope, Plan
from asyncfabric_runtime._values import decode_value
from asyncfabric_storage import MemoryStore, ObjectStore
from tests.api.until import passes, until, untyped
from tests.api.work import square
from tests.jobs.programs import KEY, attempt, keys_of, opened, run_call

MASTER = "6b" * 32  # as tests.jobs.programs has it


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", MASTER)


class Service:
    """Takes events, when it is let.

    Attributes:
        taken: indices of the calls of each event.
        open: events are taken while it is set.
        on_event: called with an event's indices before it is taken.
    """

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.waiting = self.most_waiting = 0
        self.open = asyncio.Event()
        self.open.set()
        self.on_event: Callable[[list[int]], None] = lambda _: None
        self.equipped: list[Any] = []

    async def equip(self, plan: Plan, code: dict[str, bytes]) -> None:
        self.equipped.append((plan, code))

    async def leave(self, envelope: Envelope, *, again: bool) -> None:
        self.on_event(list(envelope.indices))
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.open.wait()
        self.waiting -= 1
        assert envelope.seals is not None
        self.taken.append(list(envelope.indices))


def leaving(job: Job, service: Service, chunksize: int = 1) -> Leaving:
    plan = Plan(job="j", function="f", area=job.manifest.area, left=True)
    return Leaving(job, plan, {"f": b""}, service, chunksize=chunksize, again=True)


class Counted:
    """An endless input that knows how far it was read."""

    def __init__(self, stop: int) -> None:
        self.read = 0
        self.stop = stop

    def __iter__(self) -> Iterator[int]:
        for number in range(self.stop):
            self.read += 1
            yield number


async def test_inputs_are_read_as_events_are_taken(store: ObjectStore) -> None:
    """However many there are: some hundred are in memory at a time."""
    service, items = Service(), Counted(2000)
    service.open.clear()
    work = asyncio.ensure_future(leaving(await opened(store), service).run(items))
    await until(lambda: service.waiting == AT_ONCE)
    await passes(200)
    assert service.waiting == AT_ONCE
    assert items.read <= AT_ONCE + 2 * _READ
    service.open.set()
    assert await work == Counts(2000, 0, 2000)
    assert sorted(service.taken) == [[index] for index in range(2000)]
    assert service.most_waiting == AT_ONCE


@pytest.mark.parametrize("count", [0, 1, 16, 17, 33])
@pytest.mark.parametrize("chunksize", [1, 5, 40])
async def test_every_input_is_left_once(count: int, chunksize: int) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(count):
            yield number

    for items in (range(count), numbers()):
        store, service = MemoryStore(), Service()
        job = await opened(store)
        assert await leaving(job, service, chunksize).run(items) == Counts(count, 0, count)
        assert sorted(chain(*service.taken)) == list(range(count))
        assert len(service.taken) == -(-count // chunksize)
        assert len(service.equipped) == 1
        seen = await summarize(store, KEY, "prices")
        assert (seen.launched, seen.total) == (True, count)


async def test_what_is_done_is_not_left_again(store: ObjectStore) -> None:
    first = await opened(store)
    for index in (0, 3, 4):
        await run_call(store, attempt(first, index, index))
    service = Service()
    counts = await leaving(await opened(store), service, 2).run(range(7))
    assert counts == Counts(7, 3, 4)
    assert sorted(service.taken) == [[1, 2], [5, 6]]


async def test_attempts_bear_the_number_of_the_launch(store: ObjectStore) -> None:
    """So that a worker looks whether another has done it, and notes tell launches apart."""
    await opened(store)
    service, seen = Service(), list[Any]()
    job = await opened(store)

    async def leave(envelope: Envelope, *, again: bool) -> None:
        kinds, bodies = envelope.inputs
        value = bodies[0] if kinds is None else decode_value(kinds[0], bodies[0], [])
        seen.append((envelope.attempt(0), value))

    service.leave = leave  # type: ignore[method-assign]
    await leaving(job, service).run(["input"])
    assert seen == [(2, "input")]


async def test_other_inputs_are_refused_before_they_are_left(store: ObjectStore) -> None:
    service = Service()
    await leaving(await opened(store), service).run(range(5))
    with pytest.raises(af.ConfigurationError, match="input 3 is another one"):
        await leaving(await opened(store), service).run([0, 1, 2, 7])
    assert [3] not in service.taken[5:]
    with pytest.raises(af.ConfigurationError, match="there were 5 of them, and now there are 4"):
        await leaving(await opened(store), service).run(range(4))


async def test_an_input_that_cannot_be_sent(store: ObjectStore) -> None:
    value = (each for each in "")
    with pytest.raises(af.SerializationError) as caught:
        await leaving(await opened(store), Service()).run([1, 2, value])
    assert caught.value.__notes__[-1] == "asyncfabric: input 2 of job 'prices'"
    assert not (await summarize(store, KEY, "prices")).launched


async def test_what_the_inputs_raise_is_raised(store: ObjectStore) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    service = Service()
    with pytest.raises(LookupError, match="no more"):
        await leaving(await opened(store), service).run(items())
    assert not (await summarize(store, KEY, "prices")).launched
    # Nothing keeps another launch from going on.
    assert (await leaving(await opened(store), service).run([1, 2])).total == 2


async def test_another_driver_takes_over(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfabric._leaving.LOOK_SECONDS", 0.0)
    service = Service()
    job = await opened(store)

    async def items() -> AsyncIterator[int]:
        for number in range(1000):
            if number == 100:
                await opened(store)
            yield number

    with pytest.raises(TakenOver):
        await leaving(job, service).run(items())
    assert len(service.taken) < 200
    assert not [key for key in await keys_of(store) if "/left/" in key]


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["local://", "inline://"])
async def test_other_backends(backend: str, tmp_path: Path) -> None:
    """Told with the remedy; nothing is written."""
    storage = f"file://{tmp_path}/store"
    async with af.Fabric(backend, storage=storage) as fabric:
        with pytest.raises(af.ConfigurationError, match=r"fabric\.map\(\.\.\., job='prices'\)"):
            await af.jobs.launch(fabric, square, range(3), job="prices")
    assert await af.jobs.list(storage) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"job": "a/b"}, "can't be called"),
        ({"job": "x", "chunksize": 0}, "chunksize=0"),
        ({"job": "x", "results": "both"}, "results='both'"),
        ({"job": "x", "shared": 3}, "shared= makes"),
        ({"job": "x", "seed": -1}, "seed=-1"),
        ({"job": "x", "version": 7}, "version=7"),
    ],
)
async def test_arguments_that_make_no_sense(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async with af.Fabric("inline://", storage=f"file://{tmp_path}/store") as fabric:
        with pytest.raises(af.ConfigurationError, match=words):
            await untyped(af.jobs.launch)(fabric, square, range(3), **options)


async def test_a_temporary_store_and_a_closed_fabric() -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(af.ConfigurationError, match="storage='file:///a/directory'"):
            await af.jobs.launch(fabric, square, range(3), job="prices")
    with pytest.raises(RuntimeError, match="closed"):
        await af.jobs.launch(fabric, square, range(3), job="prices")
