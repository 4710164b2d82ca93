"""The adaptive limit on invocations: what throttling does to it, and how it comes back."""

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling import Concurrency
from asyncfabric.scheduling._concurrency import (
    GIVE_UP_SECONDS,
    LONGEST_PAUSE_SECONDS,
    STEADY_ANSWERS,
)

chances = st.floats(0, 1, exclude_max=True)
waits = st.floats(0, 30)
events = st.one_of(
    st.tuples(st.just("launch"), waits),
    st.tuples(st.just("answer"), waits),
    st.tuples(st.just("throttle"), waits, chances, st.none() | st.floats(0, 1e6)),
)


@given(st.integers(1, 1000), st.lists(events, max_size=200))
def test_it_keeps_its_bounds(most: int, story: list[Any]) -> None:
    concurrency, now, flying = Concurrency(most), 100.0, 0
    refused_since: float | None = None
    for kind, wait, *rest in story:
        now += wait
        if kind == "launch":
            flying += concurrency.room(now, flying)
        elif flying and kind == "answer":
            flying -= 1
            concurrency.answered()
            refused_since = None
        elif flying and kind == "throttle":
            flying -= 1
            concurrency.throttled(now, flying, *rest)
            refused_since = now if refused_since is None else refused_since
            assert concurrency.limit <= max(1, flying)
        assert 1 <= concurrency.limit <= most
        assert 0 <= concurrency.room(now, flying) <= most
        assert concurrency.opens <= now + LONGEST_PAUSE_SECONDS
        assert concurrency.room(concurrency.opens, 0) >= 1  # it never stops for good
        if concurrency.is_hopeless(now, flying):
            assert refused_since is not None
            assert now - refused_since >= GIVE_UP_SECONDS
            assert not flying


def test_it_starts_at_its_most() -> None:
    assert Concurrency(50).room(0, 0) == 50
    assert Concurrency(50).room(0, 20) == 30
    assert Concurrency(50).room(0, 60) == 0


def test_a_wave_that_is_partly_taken_finds_the_limit() -> None:
    concurrency, flying = Concurrency(50), 50
    for _ in range(45):
        flying -= 1
        concurrency.throttled(1.0, flying, 0.5)
    assert concurrency.limit == 5
    assert concurrency.room(1.0, flying) == 0
    concurrency.answered()
    assert concurrency.room(1.0, 4) == 1  # without any pause: something is under way


def test_a_wave_that_is_wholly_refused_is_one_pause() -> None:
    alone, wave = Concurrency(50), Concurrency(50)
    alone.throttled(1.0, 0, 0.99)
    for flying in range(49, -1, -1):
        wave.throttled(1.0, flying, 0.99)
    assert wave.opens == alone.opens > 1.0
    assert wave.room(1.0, 0) == 0
    assert wave.room(wave.opens, 0) == 1


def _refusals(concurrency: Concurrency, chance: float) -> Iterator[float]:
    now = 0.0
    while not concurrency.is_hopeless(now, 0):
        concurrency.throttled(now, 0, chance)
        yield now
        now = max(now, concurrency.opens)


def test_pauses_grow_and_endless_refusal_is_told() -> None:
    times = list(_refusals(Concurrency(50), 0.999))
    waits = [after - before for before, after in pairwise(times)]
    assert waits == sorted(waits)
    assert waits[-1] <= LONGEST_PAUSE_SECONDS
    assert times[-1] < GIVE_UP_SECONDS
    assert 5 <= len(times) <= 20


def test_one_answer_forgets_the_refusals() -> None:
    concurrency = Concurrency(50)
    last = list(_refusals(concurrency, 0.999))[-1]
    concurrency.answered()
    assert not concurrency.is_hopeless(last + 1000, 0)
    concurrency.throttled(last + 1000, 0, 0.999)
    assert concurrency.opens - (last + 1000) < 1


def test_what_is_under_way_is_hope() -> None:
    concurrency = Concurrency(50)
    concurrency.throttled(0, 5, 0.5)
    assert not concurrency.is_hopeless(GIVE_UP_SECONDS, 5)
    concurrency.throttled(GIVE_UP_SECONDS, 0, 0.5)
    assert concurrency.is_hopeless(GIVE_UP_SECONDS, 0)


def test_refusals_of_long_ago_say_nothing() -> None:
    concurrency = Concurrency(50)
    concurrency.throttled(0, 0, 0.5)
    concurrency.throttled(2 * GIVE_UP_SECONDS, 0, 0.5)
    assert not concurrency.is_hopeless(2 * GIVE_UP_SECONDS, 0)


def test_it_waits_as_long_as_it_is_told() -> None:
    for flying in (0, 7):
        concurrency = Concurrency(50)
        concurrency.throttled(1.0, flying, 0.0, 3.0)
        assert concurrency.opens == 4.0
        assert concurrency.room(3.9, 0) == 0
        concurrency.throttled(1.0, flying, 0.0, 1e9)
        assert concurrency.opens == 1.0 + LONGEST_PAUSE_SECONDS


def test_a_quota_is_probed_by_few() -> None:
    """With room for 5, about one in twenty is refused."""
    concurrency, flying, refused, answers = Concurrency(50), 0, 0, 0
    while answers < 2000:
        for _ in range(concurrency.room(0, flying)):
            if flying < 5:
                flying += 1
            else:
                refused += 1
                concurrency.throttled(0, flying, 0.5)
        flying -= 1
        answers += 1
        concurrency.answered()
    assert 45 < refused < 0.07 * answers + 50


def test_it_comes_back_fast_where_there_is_room_again() -> None:
    concurrency = Concurrency(1000)
    concurrency.throttled(0, 5, 0.5)
    rounds = 0
    while concurrency.limit < 1000:
        for _ in range(int(concurrency.limit)):
            concurrency.answered()
        rounds += 1
    assert rounds < STEADY_ANSWERS / 5 + 12


def test_chance_refusals_of_one_in_twenty_leave_the_limit_high() -> None:
    chance = random.Random(1)
    concurrency = Concurrency(100)
    limits: list[float] = []
    for _ in range(5000):
        if chance.random() < 0.05:
            concurrency.throttled(0, max(1, int(concurrency.limit) - 1), 0.5)
        else:
            concurrency.answered()
        limits.append(concurrency.limit)
    assert sum(limits) / len(limits) > 80
