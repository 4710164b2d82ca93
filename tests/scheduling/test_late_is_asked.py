"""When a fan-out has nothing more to tell, its next due time must be right: nobody asks again."""

from collections.abc import Callable

import pytest

from asyncfabric.scheduling import FanOut, Hedge, Pace, Retry
from asyncfabric.scheduling._batch import Batch
from asyncfabric.scheduling._queue import Queue

LIMIT = 1.0


def launched(calls: int, extra: int = 0, *, ordered: bool = False) -> FanOut:
    """Return a fan-out with so many calls under way, each alone, and some in its queue."""
    fan_out = FanOut(
        Pace(), lanes=calls, chunksize=1, hedge=Hedge(), ordered=ordered, fail_fast=ordered
    )
    fan_out.offer(range(calls + extra))
    if not extra:
        fan_out.end_input()
    for flight in range(calls):
        batch = fan_out.take(0.0)
        assert batch is not None
        fan_out.launched(flight, batch, 0.0)
        fan_out.next_due()
    return fan_out


def settle(fan_out: FanOut, flight: int) -> None:
    fan_out.succeeded(flight, range(1), [flight], None)
    fan_out.next_due()


def fail(fan_out: FanOut, flight: int) -> None:
    fan_out.failed(flight, 0, ValueError(), retryable=False, now=LIMIT, chance=0.5)
    fan_out.next_due()


@pytest.mark.parametrize("end", [settle, fail])
def test_what_is_settled_later_than_it_is_answered(end: Callable[[FanOut, int], None]) -> None:
    """As large results are, which are read in a thread: the last news is no answer."""
    fan_out = launched(100)
    for flight in range(98):
        fan_out.ran(flight, 1, LIMIT, 8, LIMIT)
        fan_out.answered(flight, [0])
    for flight in range(98):
        end(fan_out, flight)
    assert fan_out.next_due() is not None


def test_calls_that_will_not_be_launched_hide_no_late_ones() -> None:
    """Those behind a failure, in order, stay in the queue for ever."""
    fan_out = launched(60, 10, ordered=True)
    for flight in range(60):
        fan_out.ran(flight, 1, LIMIT, 8, LIMIT)
        if flight == 50:
            fail(fan_out, flight)
        elif flight != 5:
            settle(fan_out, flight)
    assert not fan_out.has_ready
    due = fan_out.next_due()
    for _ in range(100):  # an alarm or two may be too early
        assert due is not None
        if fan_out.look(due):
            break
        due = fan_out.next_due()
    assert due is not None
    found = fan_out.copy(due)
    assert found is not None
    assert found[0] == 5


def test_a_dropped_call_that_was_delayed_hides_no_fresh_one() -> None:
    queue = Queue()
    queue.delay(10.0, Batch(range(2), [0, 1], 2))
    queue.read = 2
    queue.drop(1)
    queue.offer_one(2)
    assert queue.ready == 1


def test_when_all_copies_raised_the_one_that_hangs_is_not_waited_for() -> None:
    fan_out = FanOut(Pace(), lanes=4, chunksize=1, hedge=Hedge(copies=2), retry=Retry())
    fan_out.offer_one(7)
    fan_out.end_input()
    batch = fan_out.take(0.0)
    assert batch is not None
    fan_out.launched(1, batch, 0.0)
    fan_out.launched(2, batch, 1.0, copy_of=1)
    error = ValueError("the function's own")
    blocks = fan_out.failed(2, 0, error, retryable=False, now=2.0, chance=0.5, record=object())
    assert blocks is not None
    assert [block.error for block in blocks] == [error]
    assert fan_out.losers() == [(1, None)]
    assert fan_out.done
