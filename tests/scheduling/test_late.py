"""When an invocation is late, and what is done about it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import Block, FanOut, Hedge, Pace
from asyncfabric.scheduling._sketch import Sketch

INSTANT = Hedge(least=0.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantile": 0.5},
        {"quantile": 1.0},
        {"margin": -0.1},
        {"factor": 0.9},
        {"copies": 1},
        {"share": 1.1},
        {"least": -1.0},
    ],
)
def test_hedges_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Hedge(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=300))
def test_quantiles_are_close(values: list[float]) -> None:
    sketch = Sketch(0.95)
    for value in values:
        sketch.add(value)
    ordered = sorted(values)
    for found, share in ((sketch.median, 0.5), (sketch.high, 0.95)):
        exact = ordered[math.ceil(share * len(ordered)) - 1]
        assert exact / 1.021 <= found <= exact * 1.021


def test_quantiles_are_kept_up_with() -> None:
    sketch = Sketch(0.95)
    for value in range(1, 10_001):
        sketch.add(float(value))
        assert sketch.high == pytest.approx(0.95 * value, rel=0.06, abs=1)
    sketch.reckon_with(10_000)
    assert sketch.median == pytest.approx(10_000, rel=0.02)
    assert Sketch(0.9).high == 0.0


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
    due = workers.fan_out.next_due()
    assert due is not None
    assert 1.05 < due < 1.2
    assert workers.copy() is None
    workers.now = due
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
    workers = Workers()
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
    assert workers.fan_out.next_due() == 10.0


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
    due = workers.fan_out.next_due()
    assert due is not None
    assert 50 < due - began < 60


def test_sizes_that_mean_nothing() -> None:
    workers = Workers()
    for size in range(100, 1100, 10):
        (flight,) = workers.launch(1, size=size)
        workers.now += 1.0
        workers.answer(flight, 1.0)
    began = workers.now
    workers.launch(1, size=5000)
    due = workers.fan_out.next_due()
    assert due is not None
    assert 1.0 < due - began < 1.2


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
