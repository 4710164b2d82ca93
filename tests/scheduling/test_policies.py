"""Every field of a policy changes what is decided: one that nobody reads would be a lie."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from asyncfabric.scheduling import Admission, FanOut, Hedge, Limit, Pace, Retry


class _Fault(Exception):
    pass


# -- Retry


def _waits(retry: Retry, error: Exception, *, retryable: bool) -> list[float]:
    """Fail a call again and again; return how long it waits each time."""
    fan_out = FanOut(Pace(), retry=retry)
    fan_out.offer([0])
    waits: list[float] = []
    now, flight = 0.0, 0
    while (batch := fan_out.take(now)) is not None:
        flight += 1
        fan_out.launched(flight, batch, now)
        fan_out.failed(flight, 0, error, retryable=retryable, now=now, chance=1.0)
        due = fan_out.next_due()
        if due is None:
            break
        waits.append(due - now)
        now = due
    assert fan_out.failed_calls == 1
    return waits


def _retries(**policy: Any) -> list[float]:
    return _waits(Retry(**policy), _Fault(), retryable=True)


def _listed_retries(**policy: Any) -> list[float]:
    return _waits(Retry(**policy), _Fault(), retryable=False)


# -- Limit


def _known_after_a_refusal(**policy: Any) -> list[int | None]:
    """Return the limit as it is found: at first, after refusals, and after answers."""
    admission: Admission[int] = Admission(1000, Limit(**policy))
    admission.join(0, 1.0)
    found = [admission.limit_now]
    admission.launched(0, 100, 1.0)
    for taken in (80, 40):
        admission.landed(admission.in_flight - taken)
        admission.refused(1.0, "concurrency", 0.5)
        found.append(admission.limit_now)
    for _ in range(34):
        admission.answered(1)
    return [*found, admission.limit_now]


def _patience(**policy: Any) -> float:
    admission: Admission[int] = Admission(1000, Limit(**policy))
    now = 0.0
    while admission.refused(now, "concurrency", 0.5):
        now += 1.0
    return now


# -- Hedge


class _Watched:
    """A map whose calls have taken from 1 to 2 seconds, one in ten 4, now with some that hang."""

    def __init__(self, hanging: int, **policy: Any) -> None:
        self.fan_out = FanOut(Pace(), chunksize=1, hedge=Hedge(**policy))
        self.fan_out.offer(range(200 + hanging))
        self.last = 0
        for place in range(200):
            flight = self.launch(0.0)
            busy = 4.0 if place % 10 == 0 else 1.0 + place / 200
            self.fan_out.ran(flight, 1, busy, 0, busy)
            self.fan_out.succeeded(flight, [0], [0], None)
        for _ in range(hanging):
            self.launch(10.0)

    def launch(self, now: float) -> int:
        batch = self.fan_out.take(now)
        assert batch is not None
        self.last += 1
        self.fan_out.launched(self.last, batch, now)
        return self.last

    def copies(self) -> int:
        """Let them hang for a day; return how many copies are launched."""
        copies, now = 0, 10.0
        for _ in range(1000):
            now += 100.0
            self.fan_out.look(now)
            while (found := self.fan_out.copy(now)) is not None:
                copies += 1
                self.last += 1
                self.fan_out.launched(self.last, found[1], now, copy_of=found[0])
        return copies


def _late_after(**policy: Any) -> float:
    watched = _Watched(1, **policy)
    now = 10.0
    while not watched.fan_out.look(now):
        now += 0.01
        assert now < 1000.0
    return now - 10.0


def _copies_of_one(**policy: Any) -> int:
    return _Watched(1, **policy).copies()


def _copies_of_many(**policy: Any) -> int:
    return _Watched(100, **policy).copies()


Measure = Callable[..., Any]

CHECKS: dict[tuple[type, str], tuple[Measure, dict[str, Any], Any, dict[str, Any], Any]] = {
    # what is measured; with one policy; with another
    (Retry, "attempts"): (_retries, {}, [0.1, 0.2], {"attempts": 2}, [0.1]),
    (Retry, "on"): (_listed_retries, {}, [], {"on": (_Fault,)}, [0.1, 0.2]),
    (Retry, "base"): (_retries, {"base": 1.0}, [1.0, 2.0], {"base": 0.0}, [0.0, 0.0]),
    (Retry, "cap"): (
        _retries,
        {"attempts": 5},
        [0.1, 0.2, 0.4, 0.8],
        {"attempts": 5, "cap": 0.3},
        [0.1, 0.2, 0.3, 0.3],
    ),
    (Limit, "start"): (
        _known_after_a_refusal,
        {"start": 100},
        [100, 80, 28, 41],
        {"start": 30},
        [30, 30, 28, 41],
    ),
    (Limit, "backoff"): (
        _known_after_a_refusal,
        {"start": 100, "backoff": 0.5},
        [100, 80, 20, 40],
        {"start": 100, "backoff": 0.9},
        [100, 80, 36, 41],
    ),
    (Limit, "probe"): (
        _known_after_a_refusal,
        {"start": 100, "probe": 0.05},
        [100, 80, 28, 41],
        {"start": 100, "probe": 1.0},
        [100, 80, 28, 62],
    ),
    (Limit, "patience"): (_patience, {"patience": 5.0}, 5.0, {"patience": 50.0}, 50.0),
}
LATER: dict[str, tuple[Measure, dict[str, Any], dict[str, Any]]] = {
    # what is measured; a policy that is quick to copy, and one that isn't
    "chance": (_late_after, {"chance": 0.4}, {"chance": 0.01}),
    "factor": (_late_after, {"factor": 1.0, "chance": 0.4}, {"factor": 9.0, "chance": 0.4}),
    "least": (_late_after, {"least": 0.0}, {"least": 30.0}),
    "copies": (_copies_of_one, {"copies": 3}, {"copies": 2}),
    "share": (_copies_of_many, {"share": 0.5}, {"share": 0.05}),
}


@pytest.mark.parametrize("field", CHECKS, ids=lambda field: f"{field[0].__name__}.{field[1]}")
def test_a_field_counts(field: tuple[type, str]) -> None:
    measure, one, expected, other, otherwise = CHECKS[field]
    assert measure(**one) == pytest.approx(expected)
    assert measure(**other) == pytest.approx(otherwise)


@pytest.mark.parametrize("field", LATER)
def test_a_field_of_hedge_counts(field: str) -> None:
    measure, eager, patient = LATER[field]
    if measure is _late_after:
        assert measure(**eager) < 0.9 * measure(**patient)
    else:
        assert measure(**eager) > measure(**patient) > 0


def test_lateness_by_least() -> None:
    assert _late_after(least=30.0) == pytest.approx(30.0, abs=0.02)


def test_copies_are_at_so_many_places() -> None:
    assert _copies_of_one(copies=2) == 1
    assert _copies_of_one(copies=3) == 2


def test_copies_are_a_share_of_all_calls() -> None:
    assert _copies_of_many(share=0.05) == pytest.approx(0.05 * 300, abs=2)


def test_every_field_is_looked_at() -> None:
    known = {*CHECKS, *((Hedge, name) for name in LATER)}
    assert known == {
        (policy, each.name) for policy in (Retry, Limit, Hedge) for each in fields(policy)
    }
