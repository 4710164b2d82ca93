"""What calls tell of their progress, and what of it leaves a worker."""

import asyncio
import math
import threading
from typing import Any

import pytest

from asyncfabric_runtime import Envelope, current
from asyncfabric_runtime import _progress as progress
from asyncfabric_runtime._invocation import Invocation
from asyncfabric_runtime._progress import Report, Sender
from asyncfabric_runtime._wire import dump_head, load_head
from tests.runtime.helpers import Worker, answers, envelope_for


class Clock:
    """Time that passes when a call says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put a clock in the place of the one that reports go by."""
    made = Clock()
    monkeypatch.setattr(progress, "perf_counter", made)
    monkeypatch.setattr("asyncfabric_runtime._plain.perf_counter", made)
    monkeypatch.setattr("asyncfabric_runtime._invocation.perf_counter", made)
    monkeypatch.setattr("asyncfabric_runtime._tasks.perf_counter", made)
    return made


def run_here(worker: Worker, envelope: Envelope, function: Any, **attributes: Any) -> Invocation:
    """Run an envelope with a function of this process, which it need not be sent."""
    invocation = Invocation(envelope, worker.process)
    for name, value in attributes.items():
        setattr(invocation, name, value)

    def load() -> None:
        invocation.function = function

    invocation.load = load  # type: ignore[method-assign]
    if envelope.plan.is_async:
        worker.process.wait_for(invocation.run_here(lambda outcome: None))
    else:
        assert not invocation.run().failures
    return invocation


def reports(worker: Worker, function: Any, inputs: int = 1, **options: Any) -> list[Report]:
    """Run calls; return what a local worker would have sent of them."""
    found: list[Report] = []
    envelope = envelope_for(_nothing, [None] * inputs, **options)

    def carry(invocation: Invocation) -> Sender:
        return Sender(invocation, found.append)

    run_here(worker, envelope, function, carrier=carry)
    return [Report.from_wire(load_head(dump_head(report.to_wire()))) for report in found]


def _nothing(_: Any) -> None:
    pass


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan, math.inf])
def test_shares_that_make_no_sense(wrong: float, worker: Worker) -> None:
    def tell(fraction: float) -> str:
        try:
            current().progress(fraction)
        except ValueError as error:
            return str(error)
        return ""

    (told,) = answers(worker.run(tell, [wrong])).values()
    assert str(wrong) in told
    assert "from 0 to 1" in told


@pytest.mark.parametrize("is_async", [False, True])
def test_none_that_goes_back(is_async: bool, worker: Worker) -> None:
    def tell(last: float) -> str:
        current().progress(0.25)
        current().progress(0.5)
        try:
            current().progress(last)
        except ValueError as error:
            return str(error)
        return ""

    async def tell_later(last: float) -> str:
        return tell(last)

    function: Any = tell_later if is_async else tell
    told = answers(worker.run(function, [0.5, 0.4, 1.0, 0.0], is_async=is_async))
    assert [told[0], told[2]] == ["", ""]
    assert all("goes back" in told[place] and "0.5" in told[place] for place in (1, 3))


def test_the_first_and_the_last_are_sent(worker: Worker, clock: Clock) -> None:
    def tell(_: None) -> None:
        for step in range(1, 8):
            clock.now += 0.03
            current().progress(step / 10)
        clock.now += 1.0
        current().progress(0.8)

    first, second = reports(worker, tell)
    assert (first.position, second.position) == (0, 0)
    assert first.seconds == pytest.approx(0.12)
    assert [mark.seconds for mark in first.marks] == pytest.approx([0.03, 0.12])
    assert [mark.fraction for mark in first.marks] == [0.1, 0.4]
    assert [mark.seconds for mark in second.marks] == pytest.approx([0.03, 1.21])
    assert [mark.fraction for mark in second.marks] == [0.1, 0.8]


def test_a_tight_loop_sends_next_to_nothing(worker: Worker, clock: Clock) -> None:
    def tell(_: None) -> None:
        here = current()
        for step in range(10_000):
            clock.now += 1e-4
            here.progress(step / 10_000)

    assert 9 <= len(reports(worker, tell)) <= 10  # in a second


def test_short_calls_send_nothing(worker: Worker, clock: Clock) -> None:
    def tell(_: None) -> None:
        for step in range(10):
            clock.now += 0.009
            current().progress(step / 10)

    assert reports(worker, tell, 50) == []


def test_each_call_has_times_of_its_own(worker: Worker, clock: Clock) -> None:
    def tell(_: None) -> None:
        clock.now += 0.5
        current().progress(0.5)
        clock.now += 0.5

    invocation = run_here(worker, envelope_for(_nothing, [None] * 3), tell)
    assert invocation.progress is not None
    assert list(invocation.progress._marks) == [2]  # of those before nothing is kept
    found = reports(worker, tell, 3)
    assert [report.position for report in found] == [0, 1, 2]
    assert {report.seconds for report in found} == {0.5}
    assert all(len(report.marks) == 1 for report in found)


def test_of_coroutines_the_one_that_is_behind(worker: Worker, clock: Clock) -> None:
    order = iter([0.6, 0.3, 0.4])

    async def tell(_: None) -> None:
        share = next(order)
        current().progress(share)
        await asyncio.sleep(0)
        if share > 0.5:
            clock.now += 1.0
            current().progress(0.9)  # the one at 0.3 is behind
            return
        await asyncio.sleep(0)
        if share == 0.3:
            return  # it has ended: the one at 0.4 is behind
        clock.now += 1.0
        current().progress(0.4)

    found = reports(worker, tell, 3, is_async=True)
    assert [(report.position, report.marks[-1].fraction) for report in found] == [
        (1, 0.3), (2, 0.4),
    ]  # fmt: skip


def test_after_the_end_it_is_too_late(worker: Worker, clock: Clock) -> None:
    kept: list[Any] = []

    def tell(_: None) -> None:
        kept.append(current())
        clock.now += 1.0
        if len(kept) == 2:
            kept[0].progress(0.5)

    assert reports(worker, tell, 2) == []
    for context in kept:
        context.progress(0.5)
        context.progress(0.1)  # not even that is wrong any more


def test_from_threads_of_a_call(worker: Worker, clock: Clock) -> None:
    def tell(_: None) -> None:
        here = current()
        clock.now += 1.0
        thread = threading.Thread(target=here.progress, args=(0.5,))
        thread.start()
        thread.join()

    (report,) = reports(worker, tell)
    assert report.marks[0].fraction == 0.5


def test_without_a_carrier_nothing_happens(worker: Worker) -> None:
    def tell(_: None) -> None:
        current().progress(0.5)

    invocation = run_here(worker, envelope_for(_nothing, [None]), tell)
    assert invocation.on_progress is None
