"""What a service that throttles is given: at a time, a second, and after refusals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import Admission, Budget, Limit, Pauses
from asyncfabric.scheduling._throttle import Adaptive, Throttle

POLICY = Limit()


@pytest.mark.parametrize(
    "wrong",
    [{"start": 0}, {"backoff": 0.0}, {"backoff": 1.0}, {"probe": 0.0}, {"patience": -1.0}],
)
def test_limits_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limit(**wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_slow_start_doubles_in_a_round() -> None:
    adaptive = Adaptive(10.0, 1000.0, POLICY)
    for expected in (20.0, 40.0, 80.0):
        for _ in range(int(adaptive.limit)):
            adaptive.succeeded(adaptive.limit)
        assert adaptive.limit == expected


def test_what_is_not_used_is_not_raised() -> None:
    adaptive = Adaptive(10.0, 1000.0, POLICY)
    adaptive.succeeded(4.0)
    assert adaptive.limit == 10.0


def test_a_refusal_tells_the_limit() -> None:
    adaptive = Adaptive(1000.0, 1000.0, POLICY)
    adaptive.refused(400.0)
    assert adaptive.limit == 400.0
    adaptive.refused(399.0)
    assert adaptive.limit == 399.0


def test_probing_costs_one_refusal_in_twenty_answers() -> None:
    adaptive = Adaptive(1000.0, 1000.0, POLICY)
    refusals = 0
    for _ in range(10_000):
        if int(adaptive.limit) > 200:
            adaptive.refused(200.0)
            refusals += 1
        adaptive.succeeded(200.0)
    assert 300 < refusals < 550
    assert adaptive.limit >= 199


def test_a_limit_that_falls_is_not_met_with_every_launch() -> None:
    """1,000 at work and a limit of 200: one ends, one is launched and refused, and so on."""
    adaptive = Adaptive(1000.0, 1000.0, POLICY)
    at_work, refusals = 1000, 0
    while at_work > 200:
        at_work -= 1
        if at_work < int(adaptive.limit):
            adaptive.refused(at_work)
            refusals += 1
    assert refusals < 60
    assert 100 < adaptive.limit <= 200


def test_a_limit_that_has_risen_is_found() -> None:
    adaptive = Adaptive(1000.0, 1000.0, POLICY)
    adaptive.refused(10.0)
    rounds = 0
    while adaptive.limit < 1000:
        rounds += 1
        for _ in range(int(adaptive.limit)):
            adaptive.succeeded(adaptive.limit)
    assert rounds < 20


@given(st.lists(st.one_of(st.none(), st.floats(0, 2000)), max_size=200), st.integers(1, 1000))
def test_a_limit_stays_within_its_bounds(events: list[float | None], most: int) -> None:
    adaptive = Adaptive(min(100.0, most), most, POLICY)
    for taken in events:
        if taken is None:
            adaptive.succeeded(adaptive.limit)
        else:
            adaptive.refused(min(taken, adaptive.limit))
        assert 1.0 <= adaptive.limit <= most


def test_slow_start_ends_at_the_level() -> None:
    adaptive = Adaptive(100.0, 1000.0, POLICY)
    adaptive.refused(80.5)
    adaptive.refused(40.5)
    for _ in range(13):
        adaptive.succeeded(adaptive.limit)
    assert adaptive.limit == 40.5


def test_a_limit_has_an_upper_bound() -> None:
    adaptive = Adaptive(2.0, 3.5, POLICY)
    for _ in range(5):
        adaptive.succeeded(adaptive.limit)
    assert adaptive.limit == 3.5


def test_launches_that_were_not_made_are_not_saved_up_for_long() -> None:
    throttle = Throttle(None, Limit(start=10_000))
    for _ in range(200):
        throttle.launched(0.0)
    throttle.refused(0.0, 199, "rate", 0.5, None)
    assert throttle.rate == 199.0
    assert throttle.room(0.0, 199) == 0
    assert throttle.room(0.05, 199) == 9
    assert throttle.room(3600.0, 0) == 19  # of a tenth of a second


def test_a_service_does_not_make_it_wait_for_ever() -> None:
    pauses = Pauses(60.0)
    pauses.refused(0.0, 0.5, retry_after=86_400.0)
    assert pauses.opens == 20.0


def test_pauses_double_and_a_wave_is_one() -> None:
    pauses = Pauses(60.0)
    ends: list[float] = []
    now = 0.0
    for _ in range(4):
        for _ in range(100):
            pauses.refused(now, 0.5)
        ends.append(pauses.opens - now)
        now = pauses.opens
    assert ends == pytest.approx([0.125, 0.25, 0.5, 1.0])
    pauses.refused(now, 0.5, retry_after=7.0)
    assert pauses.opens == now + 7.0
    pauses.succeeded()
    now += 7.0
    pauses.refused(now, 0.5)
    assert pauses.opens == now + 0.125


def test_patience_ends_without_a_success() -> None:
    pauses = Pauses(60.0)
    assert not pauses.is_hopeless(1e9)
    pauses.refused(100.0, 0.5)
    assert not pauses.is_hopeless(159.0)
    assert pauses.is_hopeless(160.0)
    pauses.succeeded()
    assert not pauses.is_hopeless(1e9)


def test_what_is_at_work_is_hope() -> None:
    """Long calls at the limit: everything else is refused for an hour, and nothing fails."""
    admission: Admission[int] = Admission(100, POLICY)
    admission.join(0, 1.0)
    for _ in range(3):
        admission.launched(0, 1, 1.0, 0.0)
    admission.landed(1)
    for minute in range(60):
        assert admission.refused(60.0 * minute, "concurrency", 0.5)
    assert admission.room(3600.0) == 0
    admission.answered(1)
    admission.landed(1)
    assert admission.room(3600.0) == 1


def test_what_is_at_work_after_refusals_of_everything_is_hope() -> None:
    """It was taken, and may run for long, while the next one is refused."""
    admission: Admission[int] = Admission(100, POLICY)
    admission.join(0, 1.0)
    assert admission.refused(0.0, "concurrency", 0.5)
    admission.launched(0, 1, 1.0, 20.0)
    assert admission.refused(100.0, "concurrency", 0.5)
    admission.landed(1)
    assert not admission.refused(115.0, "concurrency", 0.5)


def test_a_service_that_takes_nothing_is_given_up() -> None:
    admission: Admission[int] = Admission(100, POLICY)
    now, refusals = 0.0, 0
    while admission.refused(now, "concurrency", 0.99):
        refusals += 1
        opens = admission.opens(now)
        assert opens is not None
        assert admission.room((now + opens) / 2) == 0
        now = opens
        assert admission.room(now) == 1
    assert 60.0 <= now < 80.0
    assert refusals < 12


@given(st.floats(5, 500), st.integers(0, 1000))
def test_a_rate_is_kept(rate: float, seed: int) -> None:
    """A service that takes so many a second, with a second's worth saved up."""
    throttle = Throttle(None, Limit(start=10_000))
    tokens, now, refused, launched = rate, float(seed), 0, 0
    end = now + 60.0
    while now < end:
        for _ in range(min(throttle.room(now, 0), 50)):
            throttle.launched(now)
            launched += 1
            if tokens >= 1.0:
                tokens -= 1.0
            else:
                refused += 1
                throttle.refused(now, 1, "rate", 0.5, None)
        opens = throttle.opens(now)
        after = min(0.05, math.inf if opens is None else max(0.001, opens - now))
        now += after
        tokens = min(rate, tokens + rate * after)
    taken = launched - refused
    assert taken > 0.6 * 60.0 * rate
    assert refused < 0.35 * taken + 60


def test_budget() -> None:
    budget = Budget()
    assert sum(budget.spend() for _ in range(100)) == 10
    budget.earn(11)
    assert sum(budget.spend() for _ in range(100)) == 5
    budget.earn(10**9)
    assert sum(budget.spend() for _ in range(10_000)) == 1000


def test_an_old_refusal_takes_nobodys_patience() -> None:
    pauses = Pauses(60.0)
    pauses.refused(0.0, 0.5)
    pauses.refused(60.0, 0.5)
    assert pauses.is_hopeless(60.0)
    pauses.refused(600.0, 0.5)
    assert not pauses.is_hopeless(600.0)
    assert pauses.opens == 600.125


def test_what_can_not_be_reached_has_pauses_and_no_other_limit() -> None:
    throttle = Throttle(100, POLICY)
    throttle.refused(1.0, 30, "reach", 0.5, None)
    assert (throttle.limit, throttle.rate) == (100, None)
    assert throttle.room(1.1, 30) == 0
    assert throttle.opens(1.1) == 1.125
    assert throttle.room(1.125, 30) == 70
    throttle.refused(2.0, 30, "reach", 0.5, None)
    assert throttle.opens(2.0) == 2.25
    throttle.answered(30)
    throttle.refused(3.0, 30, "reach", 0.5, None)
    assert throttle.opens(3.0) == 3.125


def test_what_is_at_work_keeps_the_unreachable_from_being_given_up() -> None:
    throttle = Throttle(100, POLICY)
    for second in range(0, 100, 10):
        throttle.refused(float(second), 1, "reach", 0.5, None)
        assert not throttle.is_hopeless(float(second))
    for second in range(100, 160, 10):
        # A whole wave of them comes back.
        for left in (2, 1, 0):
            throttle.refused(float(second), left, "reach", 0.5, None)
        assert not throttle.is_hopeless(float(second))
    assert throttle.is_hopeless(160.0)
