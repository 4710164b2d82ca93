"""When an invocation is late, and what is done about it."""

import math
import random
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import Block, FanOut, Hedge, Pace
from asyncfabric.scheduling._times import Times

INSTANT = Hedge(least=0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"chance": 0.0},
        {"chance": 0.5},
        {"factor": 0.9},
        {"copies": 1},
        {"share": 1.1},
        {"least": -1.0},
    ],
)
def test_hedges_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Hedge(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.lists(st.floats(1e-3, 1e3), min_size=10, max_size=300))
def test_median_and_spread(values: list[float]) -> None:
    times = Times()
    for value in values:
        times.add(value)
    times.fit()
    ordered = sorted(values)
    assert times.median == ordered[len(values) // 2]
    level = min(0.9, len(values) / (len(values) + 1))
    high = times.at(NormalDist().inv_cdf(level))
    assert high == pytest.approx(ordered[int(level * len(values))])


def test_times_that_are_nearly_nothing_have_no_endless_tail() -> None:
    times = Times()
    for value in range(100):
        times.add(0.0 if value < 60 else 0.1)
    times.fit()
    assert 0.1 < times.at(3.0) < 0.5


def test_a_sample_of_many_is_like_them() -> None:
    times, chances = Times(), random.Random(1)
    for _ in range(100_000):
        times.add(2.0 * math.exp(chances.gauss(0.0, 0.3)))
    times.fit()
    assert times.count == 100_000
    assert times.median == pytest.approx(2.0, rel=0.03)
    assert times.spread == pytest.approx(0.3, rel=0.1)
    other = times.times(3.0)
    other.fit()
    assert other.median == pytest.approx(3.0 * times.median)


def test_what_is_still_running_counts_as_slow() -> None:
    """Half of a wave has ended: what its spread is can't be read off that half."""
    chances = random.Random(1)
    ordered = sorted(math.exp(chances.gauss(0.0, 0.3)) for _ in range(1000))
    times = Times()
    for value in ordered[:850]:
        times.add(value)
    times.fit()
    assert times.spread < 0.27
    times.fit(150)
    assert times.spread == pytest.approx(0.3, rel=0.1)


class Workers:
    """As many workers as there are calls, on a clock that is set."""

    def __init__(self, hedge: Hedge | None = INSTANT, *, idempotent: bool = True) -> None:
        self.fan_out = FanOut(Pace(), lanes=1000, chunksize=1, hedge=hedge, idempotent=idempotent)
        self.last = 0
        self.now = 0.0

    def launch(self, calls: int, *, size: int = 0) -> list[int]:
        self.fan_out.offer(range(calls))
        flights: list[int] = []
        while (batch := self.fan_out.take(self.now)) is not None:
            self.last += 1
            self.fan_out.launched(self.last, batch, self.now)
            if size:
                self.fan_out.sent(self.last, 1, size)
            flights.append(self.last)
        return flights

    def wait(self) -> float:
        """Let time pass, alarm by alarm, until something is late; return when that is."""
        while not self.fan_out.look(self.now):
            due = self.fan_out.next_due()
            assert due is not None
            assert due > self.now
            self.now = due
        return self.now

    def copy(self) -> int | None:
        """Launch a copy, if there is a late call; return the number of the original."""
        self.fan_out.look(self.now)
        found = self.fan_out.copy(self.now)
        if found is None:
            return None
        self.last += 1
        self.fan_out.launched(self.last, found[1], self.now, copy_of=found[0])
        return found[0]

    def answer(self, flight: int, busy: float) -> None:
        self.fan_out.ran(flight, 1, busy, 0, self.now)
        self.fan_out.succeeded(flight, [0], ["value"], None)

    def all_but(self, flights: list[int], late: int, seconds: float) -> None:
        """Let all but the last few end, after some seconds, one per cent apart."""
        began = self.now
        chances = random.Random(1)
        for flight in flights[: len(flights) - late]:
            took = seconds * chances.uniform(0.98, 1.02)
            self.now = max(self.now, began + took)
            self.answer(flight, took)


def test_what_outlives_the_others_gets_a_copy() -> None:
    workers = Workers()
    flights = workers.launch(20)
    workers.fan_out.end_input()
    assert workers.fan_out.next_due() is None
    workers.all_but(flights, 1, 1.0)
    assert workers.copy() is None
    assert 1.05 < workers.wait() < 1.2
    assert workers.copy() == flights[-1]
    workers.answer(workers.last, 1.0)
    assert workers.fan_out.done
    assert workers.fan_out.losers() == [(flights[-1], None)]
    assert workers.fan_out.losers() == []
    assert workers.fan_out.finished == 20


def test_the_first_answer_wins_whichever_it_is() -> None:
    workers = Workers()
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    workers.now = 2.0
    assert workers.copy() == flights[-1]
    copy = workers.last
    workers.answer(flights[-1], 2.0)
    assert workers.fan_out.losers() == [(copy, None)]
    workers.answer(copy, 1.0)  # nobody waits for it
    assert workers.fan_out.finished == 20


def test_a_call_is_at_three_places_at_most() -> None:
    workers = Workers(Hedge(copies=3))
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    for _ in range(10):
        workers.now += 5.0
        while workers.copy() is not None:
            pass
    assert workers.last - len(flights) == 2
    assert workers.fan_out.in_flight == 3


def test_a_copy_that_fails_settles_nothing() -> None:
    workers = Workers()
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    workers.now = 2.0
    workers.copy()
    error = ValueError("no")
    fan_out = workers.fan_out

    def fails(flight: int) -> list[Block] | None:
        return fan_out.failed(flight, 0, error, retryable=True, now=workers.now, chance=0.5)

    assert fails(workers.last) is None
    assert not fan_out.has_delayed
    blocks = fails(flights[-1])
    assert blocks is not None
    assert blocks[0].error is error


@pytest.mark.parametrize(("hedge", "idempotent"), [(None, True), (INSTANT, False)])
def test_never_where_it_is_not_wanted(hedge: Hedge | None, *, idempotent: bool) -> None:
    workers = Workers(hedge, idempotent=idempotent)
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    workers.now = 1000.0
    assert workers.fan_out.next_due() is None
    assert workers.copy() is None


def test_not_while_something_can_be_launched() -> None:
    workers = Workers()
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    workers.fan_out.offer([1])
    assert workers.fan_out.next_due() is None
    workers.fan_out.take(workers.now)
    assert workers.fan_out.next_due() is not None


def test_nothing_is_late_too_soon() -> None:
    workers = Workers(Hedge(least=10.0))
    workers.all_but(workers.launch(20), 1, 1.0)
    assert workers.wait() == 10.0


def test_nothing_is_known_from_half_the_calls() -> None:
    workers = Workers()
    workers.all_but(workers.launch(20), 11, 1.0)
    assert workers.fan_out.next_due() is None


def test_more_work_is_not_lateness() -> None:
    """Calls take as long as their inputs are large."""
    workers = Workers()
    for size in range(100, 1100, 10):
        (flight,) = workers.launch(1, size=size)
        workers.now += size / 100
        workers.answer(flight, size / 100)
    began = workers.now
    workers.launch(1, size=5000)
    assert 50 < workers.wait() - began < 60


def test_sizes_that_mean_nothing() -> None:
    workers = Workers()
    for size in range(100, 1100, 10):
        (flight,) = workers.launch(1, size=size)
        workers.now += 1.0
        workers.answer(flight, 1.0)
    began = workers.now
    workers.launch(1, size=5000)
    assert 1.0 < workers.wait() - began < 1.2


def test_copies_are_a_tenth_at_most() -> None:
    workers = Workers()
    flights = workers.launch(400)
    workers.all_but(flights, 120, 1.0)
    workers.now = 10.0
    while workers.copy() is not None:
        pass
    assert 30 <= workers.last - len(flights) <= 53


def test_a_copy_that_was_not_taken_is_made_again() -> None:
    workers = Workers()
    flights = workers.launch(20)
    workers.all_but(flights, 1, 1.0)
    workers.now = 2.0
    for _ in range(10):
        assert workers.copy() == flights[-1]
        assert workers.fan_out.returned(workers.last, None) == 1  # as if throttled
    assert workers.copy() == flights[-1]
    workers.answer(workers.last, 1.0)
    assert workers.fan_out.in_flight == 0


def test_progress_tells_who_is_slow() -> None:
    workers = Workers()
    flights = workers.launch(20)
    fan_out = workers.fan_out
    for step in range(1, 4):
        workers.now = float(step)
        for flight in flights[:-2]:
            assert not fan_out.progressed(flight, 0, step / 10, workers.now)
    # One tells that it is ten times as slow, and one says nothing.
    assert not fan_out.progressed(flights[-2], 0, 0.01, 1.0)
    assert fan_out.progressed(flights[-2], 0, 0.02, 2.0)
    assert workers.copy() == flights[-2]
    workers.now = 3.5
    for flight in flights[:-2]:
        fan_out.progressed(flight, 0, 0.35, workers.now)
    originals: set[int] = set()
    while (original := workers.copy()) is not None:
        originals.add(original)
    assert flights[-1] in originals
    assert originals <= {flights[-1], flights[-2]}


def test_progress_of_what_is_not_there() -> None:
    workers = Workers()
    (flight,) = workers.launch(1)
    assert not workers.fan_out.progressed(77, 0, 0.5, 1.0)
    workers.answer(flight, 1.0)
    assert not workers.fan_out.progressed(flight, 0, 0.5, 1.0)


def test_one_word_is_enough_where_the_beginning_is_known() -> None:
    workers = Workers()
    flights = workers.launch(12)
    fan_out = workers.fan_out
    for flight in flights:
        fan_out.began(flight, 1.0)
    for flight in flights[:-2]:
        assert not fan_out.progressed(flight, 0, 0.5, 2.0)
    assert fan_out.progressed(flights[-1], 0, 0.1, 2.0)
    # A worker that started slowly, as far as is known.
    (late,) = workers.launch(1)
    assert not fan_out.progressed(late, 0, 0.1, 3.0)


def _told(workers: Workers) -> int:
    """Have one of eleven tell that it is slow: it is late, and will end at 10.2 s."""
    fan_out = workers.fan_out
    flights = workers.launch(11)
    for flight in flights[:-1]:
        fan_out.progressed(flight, 0, 0.1, 0.2)
        fan_out.progressed(flight, 0, 0.2, 0.4)
    fan_out.progressed(flights[-1], 0, 0.04, 0.6)
    assert fan_out.progressed(flights[-1], 0, 0.08, 1.0)
    for flight in flights[:-1]:
        workers.now = 2.0
        workers.answer(flight, 2.0)
    return flights[-1]


def test_what_has_nearly_ended_when_there_is_room_gets_no_copy() -> None:
    workers = Workers()
    slow = _told(workers)
    workers.now = 9.0
    assert workers.fan_out.copy(workers.now) is None
    assert 10.0 < workers.wait() < 20.0
    assert workers.copy() == slow


def test_what_should_have_ended_gets_a_copy() -> None:
    workers = Workers()
    slow = _told(workers)
    workers.now = 11.0
    assert workers.copy() == slow


def test_those_that_took_long_and_ended_are_no_news() -> None:
    """However many there were, one that hangs is late."""
    workers = Workers()
    for _ in range(5):
        began = workers.now
        flights = workers.launch(40)
        workers.all_but(flights, 20, 1.0)
        workers.now = began + 1.5
        workers.fan_out.look(workers.now)
        for flight in flights[20:]:
            workers.answer(flight, 1.5)
        assert workers.copy() is None
    began = workers.now
    (hanging,) = workers.launch(1)
    assert 1.5 < workers.wait() - began < 3.0
    assert workers.copy() == hanging
