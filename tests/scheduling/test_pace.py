"""How many calls make an invocation, and how deep a stream's buffer is."""

import pytest

from asyncfabric.scheduling import Pace, Retry
from asyncfabric.scheduling._pace import (
    BUFFER_BYTES,
    BUFFER_CALLS,
    GROWTH,
    INVOCATION_BYTES,
    INVOCATION_SECONDS,
    MOST_CALLS,
)


def _settled(each: float, size: int = 0, count: int = 40) -> Pace:
    pace = Pace()
    for _ in range(count):
        pace.ran(pace.chunk(), each * pace.chunk(), size * pace.chunk())
    return pace


def test_one_call_before_anything_is_known() -> None:
    pace = Pace()
    assert pace.chunk() == 1
    assert pace.buffer(4) == 8


@pytest.mark.parametrize("each", [1e-9, 1e-6, 1e-4, 1e-3, 0.5])
def test_an_invocation_is_worth_so_much_work(each: float) -> None:
    chunk = _settled(each).chunk()
    assert chunk == max(1, min(MOST_CALLS, round(INVOCATION_SECONDS / max(each, 1e-7))))


def test_one_lucky_sample_is_not_trusted_far() -> None:
    pace = Pace()
    pace.ran(1, 1e-6, 0)
    assert pace.chunk() == GROWTH
    pace.ran(8, 8 * 0.05, 0)  # and the others are slow
    assert pace.chunk() == 1


def test_growth_takes_few_steps() -> None:
    pace, steps = Pace(), 0
    while pace.chunk() < 2000:
        pace.ran(pace.chunk(), 1e-6 * pace.chunk(), 0)
        steps += 1
    assert steps <= 4


def test_a_slow_first_call_is_forgotten() -> None:
    pace, steps = Pace(), 1
    pace.ran(1, 1.0, 0)  # imports
    while pace.chunk() < 1000:
        pace.ran(pace.chunk(), 1e-6 * pace.chunk(), 0)
        steps += 1
    assert steps <= 25


def test_slow_calls_make_invocations_small_at_once() -> None:
    pace = _settled(1e-6)
    pace.ran(1, 0.05, 0)
    assert pace.chunk() == 1


def test_large_inputs_are_not_packed_together() -> None:
    pace = _settled(1e-6)
    for _ in range(20):
        pace.sent(1, INVOCATION_BYTES // 4)
    assert pace.chunk() == 4
    pace.sent(1, 100 * INVOCATION_BYTES)
    assert pace.chunk() == 1


def test_a_buffer_is_bounded_in_calls_and_bytes() -> None:
    assert _settled(1e-9).buffer(2) == BUFFER_CALLS
    assert _settled(0.001).buffer(2) == 500
    assert _settled(60.0).buffer(2) == 4
    large = _settled(1e-6, size=1024 * 1024)
    assert large.buffer(2) == BUFFER_BYTES // (1024 * 1024)
    assert _settled(1e-6, size=BUFFER_BYTES).buffer(2) == 4  # every lane has one, and one waits


@pytest.mark.parametrize("attempt", [1, 2, 5, 100_000])
def test_waits_between_attempts(attempt: int) -> None:
    retry = Retry(base=0.5, cap=3.0)
    longest = min(3.0, 0.5 * 2 ** min(attempt - 1, 60))
    assert retry.delay(attempt, 0.0) == 0.0
    assert retry.delay(attempt, 0.5) == longest / 2
    assert retry.delay(attempt, 1.0) == longest


def test_policies_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="attempts=0"):
        Retry(attempts=0)
    with pytest.raises(ValueError, match=r"base=-1\.0"):
        Retry(base=-1.0)
    with pytest.raises(ValueError, match=r"cap=-0\.5"):
        Retry(cap=-0.5)


@pytest.mark.parametrize("side", ["input", "result"])
def test_what_goes_together_can_be_carried(side: str) -> None:
    pace = Pace(10.0, carries=100_000)
    for _ in range(40):
        calls = pace.chunk()
        pace.sent(calls, 4000 * calls if side == "input" else calls)
        pace.ran(calls, 1e-3 * calls, 4000 * calls if side == "result" else calls)
    assert 10 < pace.chunk() < 25
    small = Pace(10.0, carries=100_000)
    for _ in range(40):
        small.ran(small.chunk(), 1e-3 * small.chunk(), small.chunk())
    assert small.chunk() == MOST_CALLS


def test_one_call_goes_however_large_it_is() -> None:
    pace = Pace(10.0, carries=100)
    pace.sent(1, 1_000_000)
    pace.ran(1, 1e-3, 1_000_000)
    assert pace.chunk() == 1
