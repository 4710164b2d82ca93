"""The events of real runs: they add up, and an observer can't do harm."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.reporting import (
    CallsAnswered,
    CallsReturned,
    Event,
    InvocationLaunched,
    InvocationThrottled,
    WorkerLost,
)
from asyncfabric.testing import Profile, SimulatedCloud, spend
from tests.api.until import until

LOCAL = "local://?processes=2"


class Ledger:
    """Books every event, and holds it against what its flight has left."""

    def __init__(self, fabric: af.Fabric) -> None:
        self.events: list[Event] = []
        self.left: dict[int, int] = {}
        self.totals = Counter[str]()
        fabric._core.observers.append(self)

    def __call__(self, event: Event, /) -> None:
        self.events.append(event)
        if isinstance(event, InvocationLaunched):
            assert event.calls > 0
            assert event.flight not in self.left
            self.left[event.flight] = event.calls
            self.totals["launched"] += event.calls
            return
        if isinstance(event, CallsAnswered):
            calls = event.finished + event.failed
            self.totals["finished"] += event.finished
            self.totals["failed"] += event.failed
            assert event.busy >= 0
            assert event.worker
        elif isinstance(event, InvocationThrottled):
            assert event.calls == self.left[event.flight]
            self.totals["throttled"] += 1
            return
        elif isinstance(event, CallsReturned):
            calls = event.calls
            self.totals["returned"] += calls
        else:
            calls = event.calls
            self.totals["lost"] += calls
        self.left[event.flight] -= calls
        assert self.left[event.flight] >= 0

    @property
    def balanced(self) -> bool:
        return not any(self.left.values())


def _square(x: int) -> int:
    return x * x


async def _square_async(x: int) -> int:
    await asyncio.sleep(0)
    return x * x


def _odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(x)
    return x


def _die_once(directory: str, x: int) -> int:
    if x == 7:
        try:
            (Path(directory) / "died").touch(exist_ok=False)
        except FileExistsError:
            return x
        os.kill(os.getpid(), signal.SIGKILL)
    return x


async def _for_ever(path: str) -> None:
    Path(path).touch()
    await asyncio.Event().wait()


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
@pytest.mark.parametrize("function", [_square, _square_async])
async def test_a_map_adds_up(backend: str, function: Callable[[int], int]) -> None:
    async with af.Fabric(backend) as fabric:
        ledger = Ledger(fabric)
        assert await fabric.map(function, range(500), chunksize=7) == [x * x for x in range(500)]
        await until(lambda: ledger.balanced)
        totals = ledger.totals
        assert totals["finished"] == 500
        assert totals["failed"] == totals["lost"] == 0
        assert totals["launched"] == 500 + totals["returned"]
        assert len({event.job for event in ledger.events}) == 1
        answers = [event for event in ledger.events if isinstance(event, CallsAnswered)]
        cold = {event.flight for event in answers if event.cold}
        assert len(cold) <= 2  # a worker process's first; it may come back whole


async def test_failures_are_told_apart() -> None:
    async with af.Fabric("inline://") as fabric:
        ledger = Ledger(fabric)
        await fabric.map(_odd_fails, range(20), return_exceptions=True)
        await until(lambda: ledger.balanced)
        assert (ledger.totals["finished"], ledger.totals["failed"]) == (10, 10)


def test_refusals_are_told() -> None:
    cloud = SimulatedCloud(seed=1, profile=Profile.calm())
    cloud.concurrency = 5

    def work(x: int) -> int:
        spend(1.0)
        return x

    async def main() -> None:
        async with cloud.fabric(max_concurrency=20) as fabric:
            ledger = Ledger(fabric)
            assert await fabric.map(work, range(60), chunksize=2) == list(range(60))
            assert ledger.balanced
            totals, report = ledger.totals, fabric.report()
            assert totals["throttled"] == report.throttled == cloud.ledger.total.throttled > 0
            assert totals["launched"] == 60 + totals["returned"]
            refused = [event for event in ledger.events if isinstance(event, InvocationThrottled)]
            assert {event.scarce for event in refused} == {"concurrency"}
            assert report.limit is not None
            assert report.limit < 20
            assert f"{report.throttled:,} throttled, at most {report.limit} at" in str(report)

    cloud.run(main)


async def test_each_job_has_its_name() -> None:
    async with af.Fabric("inline://") as fabric:
        ledger = Ledger(fabric)
        await fabric.map(_square, range(3))
        await fabric.map(_square, range(3))
        await asyncio.wait([fabric.submit(_square, x) for x in range(3)])
        assert len({event.job for event in ledger.events}) == 3


async def test_a_killed_worker_is_told_of(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, retry=af.Retry(base=0.0)) as fabric:
        ledger = Ledger(fabric)
        items = [(str(tmp_path), x) for x in range(40)]
        assert await fabric.starmap(_die_once, items, chunksize=20) == list(range(40))
        await until(lambda: ledger.balanced)
        (lost,) = [event for event in ledger.events if isinstance(event, WorkerLost)]
        assert lost.calls == 1
        assert isinstance(lost.error, af.WorkerCrashed)
        totals = ledger.totals
        assert totals["finished"] == 40
        assert totals["returned"] >= 1  # what waited behind the call
        assert totals["launched"] == 40 + totals["lost"] + totals["returned"]
        after = ledger.events[ledger.events.index(lost) :]
        relaunched = [event for event in after if isinstance(event, InvocationLaunched)]
        assert 1 in [event.calls for event in relaunched]  # the suspect goes alone


async def test_answers_that_nobody_waits_for_count(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL) as fabric:
        ledger = Ledger(fabric)
        call = fabric.submit(_for_ever, str(tmp_path / "begun"))
        await until((tmp_path / "begun").exists)
        call.cancel()
        await until(lambda: ledger.left and ledger.balanced)
        assert ledger.totals["launched"] == 1


async def test_an_observer_that_raises_harms_nothing() -> None:
    def raises(event: Event) -> None:
        raise RuntimeError(type(event).__name__)

    reported: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context))
    async with af.Fabric("inline://") as fabric:
        fabric._core.observers.append(raises)
        ledger = Ledger(fabric)
        assert await fabric.map(_square, range(5), chunksize=5) == [0, 1, 4, 9, 16]
    assert ledger.totals["finished"] == 5
    assert {str(context["exception"]) for context in reported} == {
        "InvocationLaunched",
        "CallsAnswered",
    }
    assert all("observer" in str(context["message"]) for context in reported)


async def test_nothing_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Events aren't even made without an observer."""
    async with af.Fabric("inline://") as fabric:
        monkeypatch.setattr(fabric._core.bind(), "_tell", None)
        assert await fabric.map(_square, range(5)) == [0, 1, 4, 9, 16]
