"""Launched jobs where something goes wrong: in functions, in workers, in Lambda's queue."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.jobs import Unfinished
from asyncfabric.testing import Fault, Faults, LambdaFront, Limits
from tests.api.work import noted
from tests.aws.backend.fronts import cloud
from tests.aws.backend.leaving import attached, ended, make_square, marking, noting

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]
square = make_square()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.fixture
def directory(tmp_path: Path) -> str:
    (tmp_path / "notes").mkdir()
    return str(tmp_path / "notes")


# -- failures -----------------------------------------------------------------------------------


async def test_a_failure_is_told_and_tried_by_another_launch(
    front: LambdaFront, storage: str, directory: str, tmp_path: Path
) -> None:
    mended, note = tmp_path / "mended", noting(directory)

    def work(x: int) -> int:
        note(x)
        if x == 2 and not mended.exists():
            raise ValueError("it is broken")
        return 10 * x

    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(fabric, work, range(4), job="job")
        with pytest.raises(ValueError, match="it is broken") as caught:
            await af.jobs.attach(fabric, "job")
        assert "work" in str(caught.value.__cause__)
        assert caught.value.__notes__ == ["asyncfabric: input 2 of job 'job', attempt 1"]
        assert await attached(fabric) == [0, 10, "it is broken", 30]
        assert (await af.jobs.show(fabric, "job")).noted == 1
        mended.touch()
        again = await af.jobs.launch(fabric, work, range(4), job="job")
        assert again == ("job", 4, 3, 1)
        assert await attached(fabric) == [0, 10, 20, 30]
    assert noted(directory) == {"0": 1, "1": 1, "2": 2, "3": 1}


async def test_all_kinds_of_failures_are_told(front: LambdaFront, storage: str) -> None:
    def work(kind: str) -> object:
        if kind == "result":
            return (each for each in "no generators")
        if kind == "exit":
            raise SystemExit(3)
        if kind == "slow":
            time.sleep(30)
        return kind

    async with af.Fabric(front.backend, storage=storage, timeout=0.3) as fabric:
        kinds = ["fine", "result", "exit", "slow"]
        await af.jobs.launch(fabric, work, kinds, job="job")
        found = await af.jobs.attach(fabric, "job", return_exceptions=True)
    assert found[0] == "fine"
    assert [type(each) for each in found[1:]] == [
        af.SerializationError, af.RemoteError, af.AttemptTimeout,
    ]  # fmt: skip


async def test_a_worker_that_died_is_found_by_nothing_coming(
    storage: str, directory: str, tmp_path: Path
) -> None:
    """And its call is launched again, by a launch or by a map of the same program."""
    mended, note = tmp_path / "mended", noting(directory)

    def work(x: int) -> int:
        note(x)
        if x and not mended.exists():
            os._exit(1)
        return 10 * x

    async with cloud(options={"storage": storage}) as (front, fabric):
        await af.jobs.launch(fabric, work, range(3), job="job")
        await front.until(lambda counters: counters.function_errors == 2)
        assert await anext(af.jobs.attach(fabric, "job")) == 0
        with pytest.raises(Unfinished, match="1 of 3 inputs done") as caught:
            await af.jobs.attach(fabric, "job", patience=0)
        assert (caught.value.done, caught.value.total) == (1, 3)
        mended.touch()
        assert (await af.jobs.launch(fabric, work, range(3), job="job")).calls == 2
        assert await attached(fabric) == [0, 10, 20]
    assert noted(directory) == {"0": 1, "1": 2, "2": 2}


async def test_a_map_goes_on_with_what_was_launched(storage: str, directory: str) -> None:
    async with cloud(options={"storage": storage}) as (front, fabric):
        before = front.counters.requests

        def drop(number: int) -> Fault | None:
            return Fault(dropped=True) if number > before and number % 2 else None

        front.inject(drop)
        work = marking(directory)
        launched = await af.jobs.launch(fabric, work, range(10), job="job")
        front.inject(None)
        assert launched.calls == 10
        await front.until(lambda counters: counters.running == 0)
        assert await fabric.map(work, range(10), job="job") == [10 * x for x in range(10)]
        assert await attached(fabric) == [10 * x for x in range(10)]
        seen = await af.jobs.show(fabric, "job")
        assert (seen.launched, seen.drivers, seen.failed) == (False, 2, 0)
    assert len(noted(directory)) == 10


async def test_calls_without_time_left_are_told(storage: str) -> None:
    """They are in one invocation, which Lambda would cut off."""

    def work(x: int) -> int:
        if x == 1:
            time.sleep(30)
        return x

    async with cloud(options={"storage": storage}, timeout=3.0) as (_, fabric):
        await af.jobs.launch(fabric, work, range(4), job="job", chunksize=4)
        first, *others = await af.jobs.attach(fabric, "job", return_exceptions=True)
        assert first == 0
        assert [type(each) for each in others] == [af.AttemptTimeout] * 3
        assert "no time was left" in str(others[-1])


async def test_code_that_was_deleted(storage: str, tmp_path: Path) -> None:
    table = bytes(range(256)) * 100  # so that the function doesn't ride along

    def work(x: int) -> int:
        return table[x]

    async with cloud(options={"storage": storage}) as (front, fabric):
        before = front.counters.requests

        def hold(number: int) -> Fault | None:
            if number > before:
                for path in (tmp_path / "store" / "objects").iterdir():
                    path.unlink()
            return None

        front.inject(hold)
        await af.jobs.launch(fabric, work, [7], job="job")
        front.inject(None)
        with pytest.raises(af.FabricError, match="not in the store any more"):
            await af.jobs.attach(fabric, "job")
        await af.jobs.launch(fabric, work, [7], job="job")
        assert await attached(fabric) == [7]


# -- accidents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_events_dropped_doubled_throttled_and_lost(
    storage: str, directory: str, seed: int
) -> None:
    """Launched again and again, each input comes to exactly one result."""
    faults = Faults(
        seed=seed, throttled=0.15, errors=0.1, reset=0.05, lost=0.1, duplicated=0.2, dropped=0.2
    )
    count, launches = 40, 0
    work = marking(directory)
    limits = Limits(concurrency=3)
    async with cloud(options={"storage": storage}, limits=limits) as (front, fabric):
        await fabric.warm(2)
        front.inject(faults)
        while True:
            launched = await af.jobs.launch(fabric, work, range(count), job="job")
            launches += 1
            await front.until(lambda counters: counters.running == 0)
            if not launched.calls:
                break
            assert launches < 20
        front.inject(None)
        assert await attached(fabric) == [10 * x for x in range(count)]
        seen = await af.jobs.show(fabric, "job")
        assert (seen.done, seen.total, seen.drivers) == (count, count, launches)
    assert launches > 1
    ran = noted(directory)
    assert len(ran) == count
    assert sum(ran.values()) > count


async def test_an_answer_that_was_lost(front: LambdaFront, storage: str, directory: str) -> None:
    """The event is sent again, unless its call may not run twice."""
    work = marking(directory)
    for again, runs in ((True, 2), (False, 1)):
        begun = front.counters.executions
        async with af.Fabric(front.backend, storage=storage, idempotent=again) as fabric:
            await fabric.map(square, [1])
            before = front.counters.requests

            def lose(number: int, before: int = before) -> Fault | None:
                return Fault(lost_reply=True) if number == before + 1 else None

            front.inject(lose)
            await af.jobs.launch(fabric, work, [runs], job=f"job-{runs}")
            front.inject(None)
            await af.jobs.attach(fabric, f"job-{runs}")
            await ended(front, begun + 1 + runs)
    assert noted(directory) == {"2": 2, "1": 1}


async def test_lambda_that_takes_nothing(
    front: LambdaFront, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await fabric.map(square, [1])
        backend: Any = fabric._core.backend
        backend._events._pauses._patience = 0.1
        front.inject(lambda _: Fault.throttle())
        backend._modules._checked = True
        with pytest.raises(af.Throttled):
            await backend._events.send(b'"x"', again=True)
        front.inject(None)
