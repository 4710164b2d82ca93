"""What running invocations tell of themselves, and what the scheduler makes of it."""

import pytest

from asyncfabric.scheduling import FanOut, Hedge, Pace

INSTANT = Hedge(least=0.0)


class Workers:
    """A worker for each invocation, on a clock that is set."""

    def __init__(self, chunksize: int = 1) -> None:
        self.fan_out = FanOut(Pace(), lanes=1000, chunksize=chunksize, hedge=INSTANT)
        self.last = 0
        self.now = 0.0

    def launch(self, invocations: int, calls: int = 1) -> list[int]:
        """Launch invocations now; return their numbers."""
        self.fan_out.offer(range(invocations * calls))
        first = self.last + 1
        while (batch := self.fan_out.take(self.now)) is not None:
            self.last += 1
            self.fan_out.launched(self.last, batch, self.now)
        return list(range(first, self.last + 1))

    def answer(self, flight: int, seconds: float, calls: int = 1) -> None:
        """Answer all calls of an invocation now, which kept the worker busy for so long."""
        self.fan_out.ran(flight, calls, seconds, 0, self.now)
        self.fan_out.succeeded(flight, range(calls), [0] * calls, None)

    def history(self, ways: list[float], run: float = 1.0) -> None:
        """Have invocations behind, whose workers took so long to start."""
        for way in ways:
            (flight,) = self.launch(1)
            self.now += way + run
            self.answer(flight, run)

    def late(self) -> bool:
        """Tell whether any is late by now."""
        return self.fan_out.look(self.now)

    def late_after(self) -> float:
        """Let time pass until one is late; return how long that takes."""
        began = self.now
        while not self.late():
            assert self.now < began + 100.0, "none is late"
            self.now += 0.05
        return self.now - began


def test_a_slow_start_is_not_slow_code() -> None:
    workers = Workers()
    workers.history([0.0] * 50)
    (told,) = workers.launch(1)
    launched = workers.now
    workers.fan_out.began(told, launched + 3.0)
    workers.now = launched + 3.9
    assert not workers.late()
    workers.now = launched + 4.5
    assert workers.late()


def test_without_a_word_it_is_late_sooner() -> None:
    workers = Workers()
    workers.history([0.0] * 50)
    workers.launch(1)
    workers.now += 3.9
    assert workers.late()


def test_slow_code_is_found_sooner_after_a_quick_start() -> None:
    """Else it might have been its worker's start, as with so many others."""
    found: list[float] = []
    for told in (False, True):
        workers = Workers()
        workers.history([0.1, 3.0] * 30)
        (flight,) = workers.launch(1)
        if told:
            workers.fan_out.began(flight, workers.now + 0.1)
        found.append(workers.late_after())
    assert found[0] > 3.0
    assert 1.1 < found[1] < 1.6


def test_a_begin_is_told_once() -> None:
    workers = Workers()
    workers.history([0.0] * 50)
    (flight,) = workers.launch(1)
    due = workers.now + 0.5
    workers.fan_out.began(flight, due)
    workers.fan_out.began(flight, due + 50.0)
    workers.fan_out.began(77, due)  # there is none
    assert 1.5 < workers.late_after() < 2.0


def test_no_call_begins_before_its_launch() -> None:
    workers = Workers()
    workers.history([0.0] * 50)
    (flight,) = workers.launch(1)
    workers.fan_out.began(flight, workers.now - 1000.0)
    assert not workers.late()


def test_speed_goes_by_the_time_of_the_report() -> None:
    """Reports that were long on their way make nobody slow."""
    workers = Workers()
    flights = workers.launch(10)
    fan_out = workers.fan_out
    for flight in flights:
        assert not fan_out.progressed(flight, 0, 0.1, 5.5, 1.0)
        assert not fan_out.progressed(flight, 0, 0.4, 5.5, 4.0)
    for flight in flights[1:]:
        assert not fan_out.progressed(flight, 0, 0.8, 8.5, 8.0)
    # That of the first one took a while longer: by the time of its arrival it would be slow.
    assert not fan_out.progressed(flights[0], 0, 0.5, 9.5, 5.0)


def test_marks_that_come_together_tell_the_speed() -> None:
    workers = Workers()
    flights = workers.launch(10)
    fan_out = workers.fan_out
    for flight in flights[:-1]:
        for share in (0.1, 0.5):
            assert not fan_out.progressed(flight, 0, share, 5.5, 10 * share)
    assert not fan_out.progressed(flights[-1], 0, 0.01, 5.5, 1.0)
    assert fan_out.progressed(flights[-1], 0, 0.05, 5.5, 5.0)
    assert fan_out.copy(5.5) is not None


@pytest.mark.parametrize(("place", "late"), [(0, True), (9, False)])
def test_calls_before_the_present_one_are_over(place: int, late: bool) -> None:
    """Where all are answered together, they count as unanswered till then."""
    workers = Workers(chunksize=10)
    for _ in range(60):
        (flight,) = workers.launch(1, calls=10)
        workers.now += 10.0
        workers.answer(flight, 10.0, calls=10)
    (flight,) = workers.launch(1, calls=10)
    now = workers.now
    # The present call will take five times as long as others.
    assert not workers.fan_out.progressed(flight, place, 0.1, now + 1.0)
    assert workers.fan_out.progressed(flight, place, 0.2, now + 1.5) is late
