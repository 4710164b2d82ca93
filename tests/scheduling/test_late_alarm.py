"""The one timer of a fan-out."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncfabric._run import Run
from asyncfabric.scheduling import Budget, FanOut, Hedge, Pace, Retry

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asyncfabric._around import Delivery

_UVLOOP_ROUNDS = 0.5e-3


class Clock:
    """A loop's clock and timers; they ring as early as a loop's may."""

    def __init__(self, early: float) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self._early = early

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers.append((when, callback))
        return cast("asyncio.TimerHandle", self)

    def cancel(self) -> None:
        self.timers.clear()

    def ring(self) -> None:
        """Call back what is next, a little before its time."""
        ((when, callback),) = self.timers
        self.timers.clear()
        self.now = max(self.now, when - self._early)
        callback()


class Dispatcher:
    """Launches nothing; writes down what it is asked for."""

    def __init__(self, clock: Clock) -> None:
        self.loop = clock
        self.now = clock.time
        self.random = Random(1)
        self.budget = Budget()
        self.copied = 0
        self.woken = 0

    def bind(self) -> Dispatcher:
        return self

    def copy(self, run: Run) -> None:
        self.copied += 1

    def wake(self, run: Run) -> None:
        self.woken += 1


def _run(early: float) -> tuple[Run, Clock, Dispatcher]:
    clock = Clock(early)
    dispatcher = Dispatcher(clock)
    fan_out = FanOut(Pace(), lanes=20, chunksize=1, retry=Retry(), hedge=Hedge(least=0.0))
    fan_out.offer(range(20))
    run = Run(cast("Any", dispatcher), fan_out, cast("Delivery", None), None)
    for flight in range(20):
        batch = fan_out.take(0.0)
        assert batch is not None
        fan_out.launched(flight, batch, 0.0)
    clock.now = 1.0
    for flight in range(19):
        fan_out.ran(flight, 1, 1.0, 0, 1.0)
        fan_out.succeeded(flight, [0], [None], None)
    return run, clock, dispatcher


@pytest.mark.parametrize("early", [0.0, 1e-9, _UVLOOP_ROUNDS])
def test_what_is_late_is_found_when_the_alarm_rings(early: float) -> None:
    run, clock, dispatcher = _run(early)
    run.set_alarm()
    clock.ring()
    assert dispatcher.copied == 1
    assert clock.timers == []


@pytest.mark.parametrize("early", [0.0, 1e-9, _UVLOOP_ROUNDS])
def test_what_is_delayed_can_go_when_the_alarm_rings(early: float) -> None:
    run, clock, dispatcher = _run(early)
    fan_out = run.fan_out
    assert fan_out.failed(19, 0, OSError(), retryable=True, now=1.0, chance=0.5) == []
    run.set_alarm()
    clock.ring()
    assert dispatcher.woken == 1
    assert fan_out.take(clock.now) is not None
