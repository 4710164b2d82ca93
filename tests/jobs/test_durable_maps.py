"""`map(job=)`: run again, it goes on; another program is refused."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.jobs import _driving
from asyncfabric.jobs._job import Job
from tests.api.until import until, untyped
from tests.api.work import noted
from tests.jobs.conftest import MASTER_KEY
from tests.jobs.durable import fails_at, noting, ten_times, ten_times_async

BACKENDS = ["inline://", "local://?processes=2"]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


kinds = pytest.mark.parametrize("make", [ten_times, ten_times_async])


@kinds
async def test_run_again_it_runs_nothing_again(
    backend: str, storage: str, directory: str, make: Callable[[str], Any]
) -> None:
    for _ in range(2):
        async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
            assert await fabric.map(make(directory), range(300), job="tens") == [
                10 * x for x in range(300)
            ]
    assert set(noted(directory).values()) == {1}
    assert len(noted(directory)) == 300


@kinds
@pytest.mark.parametrize("ordered", [True, False])
async def test_what_a_stream_left_is_run_by_the_next(
    backend: str, storage: str, directory: str, make: Callable[[str], Any], ordered: bool
) -> None:
    async with (
        af.Fabric(backend, storage=storage, hedge=None) as fabric,
        fabric.map(
            make(directory), range(200), job="tens", buffersize=8, chunksize=1, ordered=ordered
        ) as stream,
    ):
        taken = [await anext(stream) for _ in range(5)]
    before = set(noted(directory))
    assert len(before) < 200
    async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
        stream = fabric.map(make(directory), range(200), job="tens", ordered=ordered)
        values = [value async for value in stream]
    assert sorted(values) == [10 * x for x in range(200)]
    if ordered:
        assert values == sorted(values)
        assert taken == values[:5]
    runs = noted(directory)
    # Those at the workers may have been stopped between their run and their commit.
    assert sum(runs.values()) - 200 <= 8


async def test_the_first_failure_is_no_result(backend: str, storage: str, directory: str) -> None:
    async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
        for _ in range(2):
            with pytest.raises(ValueError, match="bad: 7"):
                await fabric.map(fails_at(directory, 7), range(10), job="one-fails")
    assert noted(directory)["7"] == 2


async def test_delivered_failures_are_results(backend: str, storage: str, directory: str) -> None:
    for _ in range(2):
        async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
            found = await fabric.map(
                fails_at(directory, 7), range(10), job="one-fails", return_exceptions=True
            )
        assert [x for x in found if isinstance(x, int)] == [10 * x for x in range(10) if x != 7]
        error = found[7]
        assert isinstance(error, ValueError)
        assert str(error) == "bad: 7"
        assert "bad: 7" in str(error.__cause__)
    assert set(noted(directory).values()) == {1}


async def test_failures_seen_as_completed_are_results(storage: str, directory: str) -> None:
    for _ in range(2):
        async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
            work = fabric.map(fails_at(directory, 2, 5), range(8), job="as-completed")
            failed = {call.index async for call in af.as_completed(work) if call.exception()}
        assert failed == {2, 5}
    assert set(noted(directory).values()) == {1}


async def test_a_failure_from_before_anybody_looked_is_no_result(
    storage: str, directory: str
) -> None:
    """As completed, later ones are; the job is not noted as finished."""
    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        work = fabric.map(fails_at(directory, 2, 5), range(8), job="early", chunksize=1).start()
        await until(work.failed)
        failed = {call.index async for call in af.as_completed(work) if call.exception()}
        assert failed == {2, 5}
        seen = await af.jobs.show(fabric, "early")
    assert (seen.done, seen.finished) == (7, False)


async def test_retry_of_a_durable_map_runs_what_is_left(storage: str, directory: str) -> None:
    note = noting(directory)
    mended = Path(directory, "mended")

    def once_there(x: int) -> int:
        note(x)
        if x == 3 and not mended.exists():
            raise ValueError("not yet")
        return x

    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        work = fabric.map(once_there, range(6), job="retried")
        with pytest.raises(ValueError, match="not yet"):
            await work
        mended.touch()
        assert await work.retry() == list(range(6))
        assert noted(directory)["3"] == 2
        assert await fabric.map(once_there, range(6), job="retried") == list(range(6))
    assert noted(directory)["3"] == 2


async def test_endless_inputs_go_on(storage: str, directory: str) -> None:
    async def endless() -> AsyncIterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    for stop in (20, 300, 310):
        async with (
            af.Fabric("inline://", storage=storage, hedge=None) as fabric,
            fabric.map(ten_times(directory), endless(), job="endless", buffersize=16) as stream,
        ):
            assert [await anext(stream) for _ in range(stop)] == [10 * x for x in range(stop)]
    assert set(noted(directory).values()) == {1}


class Point:
    """What can't be compared but by what it reduces to."""

    def __init__(self, x: int) -> None:
        self.x = x


async def test_any_input_that_can_be_sent(storage: str) -> None:
    inputs: list[Any] = [
        None,
        {"a": {1, 2, 3}},
        np.arange(300_000),
        "x" * 100,
        Point(5),
        (1, [2, {"k": b"v"}]),
    ]
    for _ in range(2):
        async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
            found = await fabric.map(lambda x: x, inputs, job="inputs")
        assert found[:2] == inputs[:2]
        assert np.array_equal(found[2], inputs[2])
        assert found[2].flags.writeable  # read back or answered, it is the user's own
        assert found[4].x == 5


async def test_an_input_that_cannot_be_sent_fails_its_call(storage: str) -> None:
    inputs: list[Any] = [1, iter([2]), 3]
    for _ in range(2):
        async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
            inputs[1] = (each for each in [2])
            found = await fabric.map(type, inputs, job="bad", return_exceptions=True)
        assert found[::2] == [int, int]
        assert isinstance(found[1], af.SerializationError)


async def test_a_result_that_cannot_be_read_fails_its_call(storage: str) -> None:
    class Unreadable:
        def __reduce__(self) -> tuple[Any, ...]:
            return int, ("none",)

    def call(x: int) -> object:
        return Unreadable() if x == 1 else x

    for _ in range(2):
        async with af.Fabric("inline://", storage=storage) as fabric:
            found = await fabric.map(call, range(3), job="calls", return_exceptions=True)
            assert [found[0], found[2]] == [0, 2]
            assert isinstance(found[1], af.SerializationError)
            with pytest.raises(af.SerializationError, match="invalid literal"):
                await fabric.map(call, range(3), job="calls")


@pytest.mark.parametrize("size", [10, 300_000])
async def test_results_by_reference(backend: str, storage: str, size: int) -> None:
    for _ in range(2):
        async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
            refs = await fabric.map(bytes, [size] * 3, job="refs", results="ref")
            assert [await ref.get() for ref in refs] == [bytes(size)] * 3


async def test_large_results_come_from_the_store(backend: str, storage: str) -> None:
    for _ in range(2):
        async with af.Fabric(backend, storage=storage, hedge=None) as fabric:
            found = await fabric.map(np.arange, [200_000] * 3, job="large")
        assert all(np.array_equal(each, np.arange(200_000)) for each in found)


async def test_random_streams_are_those_it_was_begun_with(storage: str, directory: str) -> None:
    def draw(x: int) -> float:
        return float(af.current().rng().random())

    found: list[list[float]] = []
    for count in (3, 6):
        async with (
            af.Fabric("inline://", storage=storage, hedge=None) as fabric,
            fabric.map(draw, range(6), job="draws", buffersize=1) as stream,
        ):
            found.append([await anext(stream) for _ in range(count)])
    assert found[1][:3] == found[0]
    assert len(set(found[1])) == 6


async def test_a_call_has_the_same_token_in_every_run(storage: str, directory: str) -> None:
    note = noting(directory)

    def token(x: int) -> str:
        found = af.current().token
        note(found.replace("/", "-"))
        if not Path(directory, "mended").exists():
            raise ValueError("not yet")
        return found

    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        with pytest.raises(ValueError, match="not yet"):
            await fabric.map(token, range(2), job="tokens", chunksize=2)
    before = set(noted(directory))
    Path(directory, "mended").touch()
    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        tokens = await fabric.map(token, range(2), job="tokens")
    assert {each.replace("/", "-") for each in tokens} == before
    assert len(before) == 2


# -- what makes no sense ---------------------------------------------------------------------------


async def test_arguments_that_make_no_sense(storage: str) -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(af.ConfigurationError, match="storage="):
            _ = fabric.map(abs, [1], job="a")
    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        for name in ("", "../x", "a/b", "ä", "x" * 101, 5):
            with pytest.raises(af.ConfigurationError, match="can't be called"):
                _ = fabric.map(abs, [1], job=untyped(name))
        with pytest.raises(af.ConfigurationError, match="version"):
            _ = fabric.map(abs, [1], version="1")
        with pytest.raises(af.ConfigurationError, match="version"):
            _ = fabric.map(abs, [1], job="a", version=untyped(1))


async def test_no_inputs(storage: str) -> None:
    for _ in range(2):
        async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
            assert await fabric.map(abs, [], job="none") == []


async def test_inside_a_worker(storage: str) -> None:
    async def nested(x: int) -> list[int]:
        async with af.Fabric(storage=storage, hedge=None) as fabric:
            return await fabric.map(abs, [x], job="inner")

    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        with pytest.raises(af.ConfigurationError, match="outside the workers"):
            await fabric.map(nested, [1])


async def test_an_input_iterator_that_raises(storage: str, directory: str) -> None:
    def inputs(end: int) -> Iterator[int]:
        yield from range(end)
        if end < 10:
            raise OSError("the disk is gone")

    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        broken = fabric.map(ten_times(directory), inputs(5), job="iterator")
        with pytest.raises(OSError, match="the disk is gone"):
            await broken
        with pytest.raises(OSError, match="the disk is gone"):
            await broken.retry()  # what was read is not taken for all there is
        assert (await af.jobs.show(fabric, "iterator")).total is None
        found = await fabric.map(ten_times(directory), inputs(10), job="iterator")
    assert found == [10 * x for x in range(10)]


# -- two drivers -----------------------------------------------------------------------------------


async def test_the_older_of_two_drivers_stops(
    storage: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = noting(directory)
    monkeypatch.setattr(_driving, "LOOK_SECONDS", 0.01)
    gate = Path(directory, "gate")

    async def waits(x: int) -> int:
        note(x)
        if x == 3:
            await until(gate.exists)
        return x

    async with (
        af.Fabric("inline://", storage=storage, hedge=None) as older,
        af.Fabric("inline://", storage=storage, hedge=None) as newer,
    ):
        first = older.map(waits, range(5), job="raced").start()
        await until(lambda: "3" in noted(directory))
        second = newer.map(waits, range(5), job="raced").start()
        with pytest.raises(af.FabricError, match="has taken over job 'raced'"):
            await first
        gate.touch()
        assert await second == list(range(5))
    runs = noted(directory)
    assert [runs[str(x)] for x in (0, 1, 2, 4)] == [1, 1, 1, 1]


async def test_discarded_while_results_are_read_back(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def result(self: Job, index: int, subject: bytes) -> Any:
        if index == 0:
            await af.jobs.discard(storage, "gone")
        return await unpatched(self, index, subject)

    async with af.Fabric("inline://", storage=storage) as fabric:
        await fabric.map(abs, range(5), job="gone")
        unpatched = Job.result
        monkeypatch.setattr(Job, "result", result)
        with pytest.raises(af.jobs.TakenOver, match="'gone' was discarded while it ran"):
            await fabric.map(abs, range(5), job="gone")


# -- the key ---------------------------------------------------------------------------------------


async def test_workers_do_not_have_the_master_key(storage: str) -> None:
    def seen(_: int) -> list[str]:
        return [name for name, value in os.environ.items() if MASTER_KEY in value]

    async with af.Fabric("local://?processes=1", storage=storage, hedge=None) as fabric:
        assert await fabric.map(seen, range(2), job="key") == [[], []]


async def test_another_key_can_read_nothing(
    storage: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with af.Fabric("inline://", storage=storage, hedge=None) as fabric:
        await fabric.map(ten_times(directory), range(3), job="mine")
        monkeypatch.setenv("ASYNCFABRIC_KEY", "6b" * 32)
        with pytest.raises(af.IntegrityError, match="key"):
            await fabric.map(ten_times(directory), range(3), job="mine")
