"""How long simulated calls take: what they say by `spend`, on the environment they got."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from asyncfabric_runtime._context import _running
from asyncfabric_runtime._limit import AttemptExpired

if TYPE_CHECKING:
    from random import Random

_LEAST_FACTOR = 0.1


class Meter:
    """Adds up what the calls of one invocation spend; keeps their time limit.

    It is the `Limit` of the runtime's Invocation, which says when each call begins and ends.

    Args:
        factor: how many times longer everything takes in this environment.
        noise: standard deviation of a call's own factor.
        chance: where those come from.
        timeout: seconds a call may take; None for no limit.
        until: seconds the whole invocation may take.
    """

    __slots__ = (
        "_chance",
        "_expired",
        "_factor",
        "_noise",
        "_position",
        "_scale",
        "_timeout",
        "_until",
        "begun",
        "marks",
        "seconds",
        "total",
    )

    def __init__(
        self, factor: float, noise: float, chance: Random, timeout: float | None, until: float
    ) -> None:
        self.total = 0.0
        """Seconds that all calls have taken so far."""
        self.seconds: dict[int, float] = {}
        """Seconds of each call, by position."""
        self.marks: list[tuple[float, int, float]] = []
        """Reports of progress: seconds from the begin, which call, how far."""
        self.begun = 0
        self._factor = factor
        self._noise = noise
        self._chance = chance
        self._timeout = timeout
        self._until = until
        self._position = 0
        self._scale = factor
        self._expired: float | None = None

    def begin(self, position: int, started: float) -> bool:  # noqa: ARG002 - real time means nothing
        """Know that a plain call begins; tell whether there is time left for it."""
        if self.total >= self._until:
            return False
        self._enter(position)
        self._expired = None
        return True

    def end(self) -> float | None:
        """Know that it has ended; return its limit if it was over."""
        return self._expired

    def _enter(self, position: int) -> None:
        self._position = position
        self.begun += 1
        self.seconds[position] = 0.0
        scale = self._factor
        if self._noise:
            scale *= max(_LEAST_FACTOR, self._chance.gauss(1.0, self._noise))
        self._scale = scale

    def spend(self, position: int, seconds: float) -> None:
        """Let a call take so long, times what its environment makes of it."""
        if position != self._position or not self.begun:
            if position not in self.seconds:
                self._enter(position)  # a coroutine call, which nobody announces
            self._position = position
        taken = seconds * self._scale
        before = self.seconds[position]
        limit = self._until - self.total
        if self._timeout is not None:
            limit = min(limit, self._timeout - before)
        if taken > limit:
            self._expired = self._timeout if self._timeout is not None else self._until
            self.seconds[position] = before + max(0.0, limit)
            self.total += max(0.0, limit)
            raise AttemptExpired
        self.seconds[position] = before + taken
        self.total += taken

    def mark(self, position: int, fraction: float) -> None:
        """Note that a call has come so far."""
        self.marks.append((self.total, position, fraction))

    def begun_within(self, seconds: float) -> int:
        """Return how many plain calls, which follow each other, were begun within so long."""
        begun = 0
        for taken in self.seconds.values():
            if seconds < 0:
                break
            begun += 1
            seconds -= taken
        return begun


def spend(seconds: float) -> None:
    """Take so many seconds: say in a function how long its work would take.

    In a `SimulatedCloud` they pass on the simulated clock, longer or shorter as the environment
    is; the function itself runs on without waiting. Anywhere else it is `time.sleep`, so the
    program runs unchanged on other backends. A coroutine function can as well
    `await asyncio.sleep(seconds)`, which passes on the simulated clock, too.

        def work(x):
            asyncfabric.testing.spend(2.0)
            return x * x

    Raises `ValueError` if `seconds` is negative.
    """
    if seconds < 0:
        raise ValueError(f"spend({seconds}): time can't be given back; give 0 or more seconds")
    meter = running_meter()
    if meter is None:
        time.sleep(seconds)
    else:
        meter[0].spend(meter[1], seconds)


def running_meter() -> tuple[Meter, int] | None:
    """Return the meter of the simulated call that this code runs in, and its place; or None."""
    slot = _running.get()
    if slot is None or not isinstance(slot.invocation.limit, Meter):
        return None
    return slot.invocation.limit, slot.position
