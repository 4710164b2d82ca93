"""Heartbeats: what an invocation writes to the store while it runs, from its worker's side."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncfabric_runtime import Plan, current
from asyncfabric_runtime import _heartbeat as heartbeat
from asyncfabric_runtime._aws_lambda import LambdaWorker
from asyncfabric_runtime._heartbeat import name_of, read_name
from asyncfabric_runtime._progress import Mark, Report
from asyncfabric_storage import LocalStore, StorageError
from tests.runtime.helpers import answers, envelope_for, packed
from tests.runtime.test_aws_lambda import outcome_of, sent

PREFIX = "progress/0123"
SOON = 0.02
NEVER = 3600.0


class Beats(LocalStore):
    """A store that tells of every write, and refuses it or hangs if it is to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names: list[str] = []
        self.wrote = threading.Semaphore(0)
        self.refuses = self.hangs = False
        self.closed = 0

    async def put(self, key: str, data: Any) -> None:
        assert bytes(data) == b""
        assert key.startswith(f"{PREFIX}/")
        self.names.append(key.removeprefix(f"{PREFIX}/"))
        self.wrote.release()
        if self.hangs:
            await asyncio.Event().wait()
        if self.refuses:
            raise StorageError("no")

    async def aclose(self) -> None:
        self.closed += 1

    def wait(self, x: int, writes: int = 1) -> int:
        """Wait, in the place of a call, until so many more writes were tried."""
        for _ in range(writes):
            assert self.wrote.acquire(timeout=20)
        return x


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Beats:
    """The store that heartbeats of this process are written to."""
    made = Beats(tmp_path)

    def open_store(url: str) -> Beats:
        assert url == "file:///"
        return made

    monkeypatch.setattr(heartbeat, "open_store", open_store)
    return made


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Lambda worker in this process, which runs functions of this process."""
    from asyncfabric_runtime import _aws_lambda

    monkeypatch.setattr(_aws_lambda, "_become_worker", lambda: None)
    before = signal.getsignal(signal.SIGALRM)
    made: Any = LambdaWorker()
    yield made
    signal.signal(signal.SIGALRM, before)
    if made._process._loop is not None:
        made._process._loop.close()


def run(worker: Any, function: Any, inputs: int = 1, every: float = SOON, **options: Any) -> Any:
    """Run calls of a function, with a heartbeat so often."""
    options.setdefault("heartbeats", (PREFIX, every))
    worker._process.function = {_NAME: function}.__getitem__
    envelope = envelope_for(_nothing, list(range(inputs)), store_url="file:///", **options)
    outcome = outcome_of(worker.serve(sent(envelope), 60.0))
    assert not outcome.failures
    assert not [each for each in threading.enumerate() if "heartbeat" in each.name]
    return answers(outcome)


def _nothing(_: int) -> None:
    pass


_NAME = packed(_nothing)[0]


def written(beats: Beats) -> list[Report]:
    """Read what was written."""
    found = [read_name(name) for name in beats.names]
    assert all(each is not None and each[0] == 7 for each in found)
    numbers = [each[1] for each in found if each is not None]
    assert numbers == sorted(set(numbers))
    return [each[2] for each in found if each is not None]


def test_a_call_that_says_nothing_tells_that_it_runs(worker: Any, beats: Beats) -> None:
    assert run(worker, beats.wait) == {0: 0}
    (report,) = written(beats)
    assert (report.position, report.marks) == (0, ())
    assert report.seconds > 0
    assert beats.closed == 1


def test_a_short_invocation_writes_nothing(worker: Any, beats: Beats) -> None:
    def tell(x: int) -> int:
        current().progress(0.5)
        return x

    assert run(worker, tell, 20, every=NEVER) == {x: x for x in range(20)}
    assert beats.names == []
    assert beats.closed == 0


def test_what_a_call_tells_is_written(worker: Any, beats: Beats) -> None:
    def tell(x: int) -> int:
        here = current()
        here.progress(0.125)
        here.progress(0.25)
        beats.wait(x)
        here.progress(0.75)
        beats.wait(x)
        return x

    run(worker, tell)
    first, second = written(beats)
    assert [mark.fraction for mark in first.marks] == [0.125, 0.25]
    assert [mark.fraction for mark in second.marks] == [0.125, 0.75]
    assert second.marks[0] == first.marks[0]
    assert second.seconds > first.seconds


def test_only_news_is_written(worker: Any, beats: Beats) -> None:
    """What has been told is told once; after that, the thread still looks."""
    looks = threading.Semaphore(0)
    look = heartbeat.Heartbeat._report

    async def counted(self: Any) -> Any:
        looks.release()
        return await look(self)

    def wait(x: int) -> int:
        current().progress(0.5)
        for _ in range(5):
            assert looks.acquire(timeout=20)
        return x

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heartbeat.Heartbeat, "_report", counted)
        run(worker, wait, every=0.005)
    assert len(beats.names) == 1


def test_each_call_in_turn(worker: Any, beats: Beats) -> None:
    run(worker, beats.wait, 3)
    assert [report.position for report in written(beats)][:3] == [0, 1, 2]


def test_coroutines(worker: Any, beats: Beats) -> None:
    async def tell(x: int) -> int:
        current().progress(0.5 - x / 10)
        while not beats.names:  # noqa: ASYNC110 - another thread fills it
            await asyncio.sleep(0.001)
        return x

    assert run(worker, tell, 3, is_async=True) == {0: 0, 1: 1, 2: 2}
    report = written(beats)[0]
    assert (report.position, report.marks[-1].fraction) == (2, 0.3)


def test_coroutines_that_say_nothing(worker: Any, beats: Beats) -> None:
    async def wait(x: int) -> int:
        while x and not beats.names:  # noqa: ASYNC110 - another thread fills it
            await asyncio.sleep(0.001)
        return x

    run(worker, wait, 3, is_async=True)
    assert written(beats)[0].position == 1  # the first one has ended


def test_a_store_that_refuses_fails_nothing(
    worker: Any, beats: Beats, capfd: pytest.CaptureFixture[str]
) -> None:
    beats.refuses = True

    def wait(x: int) -> int:
        return beats.wait(x, heartbeat._FAILURES)

    assert run(worker, wait) == {0: 0}
    assert len(beats.names) == heartbeat._FAILURES
    assert "a heartbeat can't be written" in capfd.readouterr().err


def test_no_store_at_all_fails_nothing(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()

    def wait(_: int) -> bool:
        return tried.wait(20)

    def refuse(url: str) -> Any:
        tried.set()
        raise StorageError("no")

    monkeypatch.setattr(heartbeat, "open_store", refuse)
    assert run(worker, wait) == {0: True}


def test_a_store_that_hangs_holds_up_nothing(worker: Any, beats: Beats) -> None:
    beats.hangs = True
    assert run(worker, beats.wait) == {0: 0}
    assert beats.closed == 1


def test_a_write_that_hangs_is_given_up(worker: Any, beats: Beats) -> None:
    beats.hangs = True

    def wait(x: int) -> int:
        return beats.wait(x, heartbeat._FAILURES)

    assert run(worker, wait) == {0: 0}


def test_between_two_calls_there_is_nothing_to_tell() -> None:
    """Which call runs and since when are written one after the other: in between, they lie."""

    class Between:
        progress = None
        plan = Plan(job="job", function="f")
        envelope = envelope_for(_nothing, [0, 0])
        announced = envelope.flight << 32
        looked_at = 0

        @property
        def page(self) -> list[int]:
            return [self.announced + 1]

        @property
        def since(self) -> float:
            self.looked_at += 1
            return 0.0 if self.looked_at == 1 else 5.0  # call 1 has begun just now

    looking: Any = heartbeat.Heartbeat.__new__(heartbeat.Heartbeat)
    looking._invocation = Between()
    assert asyncio.run(looking._report()) is None
    report = asyncio.run(looking._report())
    assert report is not None
    assert report.position == 1


def test_a_call_that_runs_into_its_timeout(worker: Any, beats: Beats) -> None:
    def hang(x: int) -> int:
        beats.wait(x)
        threading.Event().wait()
        return x

    worker._process.function = {_NAME: hang}.__getitem__
    envelope = envelope_for(
        _nothing, [0], store_url="file:///", heartbeats=(PREFIX, SOON), timeout=1.0
    )
    outcome = outcome_of(worker.serve(sent(envelope), 60.0))
    assert outcome.failures[0].kind == "timeout"
    assert not [each for each in threading.enumerate() if "heartbeat" in each.name]


def test_without_them_there_is_no_thread(worker: Any, beats: Beats) -> None:
    def threads(x: int) -> list[str]:
        return [each.name for each in threading.enumerate()]

    assert not [name for name in run(worker, threads, heartbeats=None)[0] if "heartbeat" in name]
    assert [name for name in run(worker, threads, every=NEVER)[0] if "heartbeat" in name]


def test_a_plan_says_where_and_how_often() -> None:
    plan = Plan(job="job", function="f", heartbeats=(PREFIX, 5.0))
    assert Plan.unpacked(plan.packed()).heartbeats == (PREFIX, 5.0)
    assert Plan(job="job", function="f").heartbeats is None


@pytest.mark.parametrize(
    "report",
    [
        Report(0, 5.003),
        Report(12, 5.003, (Mark(1.0, 0.25),)),
        Report(3, 5.003, (Mark(0.001, 0.000001), Mark(5.002, 1.0))),
    ],
)
def test_names(report: Report) -> None:
    name = name_of(123, 4, report)
    assert read_name(name) == (123, 4, report)
    assert len(name) < 60


@pytest.mark.parametrize(
    "name",
    [
        "", "1", "1.2.3", "a.1.0.5000", "1.1.0.5000.", "1.1.0.5000.1", "1.1.0.-5", "1.1.0.5e3",
        "1.1.0.5000/..", "1.1.0.5000\n", "\u0661.1.0.5000",
        "1.1.0." + "9" * 5000, "1" * 16 + ".1.0.5",
        "1.1.0.5000.4000.500000.3000.600000",  # back in time
        "1.1.0.5000.3000.600000.4000.500000",  # back in progress
        "1.1.0.5000.6000.500000",  # ahead of its time
        "1.1.0.5000.4000.1000001",  # more than all
        "1.1.0.5000.1.1.2.2.3.3",
    ],
)  # fmt: skip
def test_names_that_make_no_sense(name: str) -> None:
    assert read_name(name) is None
