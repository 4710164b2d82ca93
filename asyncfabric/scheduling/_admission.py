"""Which fan-out of a Fabric launches next, and how many attempts may be in flight at all.

Fan-outs take turns by start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each carries a
virtual time that advances by the work it launches over its weight, and the one that is furthest
behind goes next. One that comes back from a pause starts at the present virtual time: a pause earns
no credit.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

F = TypeVar("F")


class Admission(Generic[F]):
    """The one admission of a backend, shared by all the maps of a Fabric.

    Args:
        limit: attempts in flight at most; None for as many as the backend takes.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.in_flight = 0
        self._now = 0.0
        self._virtual: dict[F, float] = {}
        self._weights: dict[F, float] = {}
        self._turns: list[tuple[float, int, F]] = []
        self._entered: dict[F, int] = {}
        self._count = 0

    def room(self) -> int | None:
        """Return how many more attempts may be launched; None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.in_flight)

    def join(self, fan_out: F, weight: float) -> None:
        """Know a fan-out. It takes no turns until it is awake."""
        self._weights[fan_out] = weight
        self._virtual[fan_out] = 0.0

    def leave(self, fan_out: F) -> None:
        """Forget a fan-out."""
        self._weights.pop(fan_out, None)
        self._virtual.pop(fan_out, None)
        self._entered.pop(fan_out, None)

    def wake(self, fan_out: F) -> None:
        """Let a fan-out take turns: it has, or may have, something to launch."""
        if fan_out in self._entered or fan_out not in self._weights:
            return
        self._virtual[fan_out] = max(self._virtual[fan_out], self._now)
        self._enter(fan_out)

    def rest(self, fan_out: F) -> None:
        """Let a fan-out take no more turns until it is woken."""
        self._entered.pop(fan_out, None)

    def turn(self) -> F | None:
        """Return the fan-out whose turn it is, or None."""
        while self._turns:
            _, entry, fan_out = self._turns[0]
            if self._entered.get(fan_out) == entry:
                return fan_out
            heappop(self._turns)  # it rests, left, or launched meanwhile
        return None

    @property
    def waits(self) -> bool:
        """Whether any fan-out takes turns."""
        return bool(self._entered)

    def launched(self, fan_out: F, attempts: int, work: float) -> None:
        """Charge a launch: attempts in flight, and work (any unit) against its share."""
        self.in_flight += attempts
        if fan_out not in self._weights:
            return
        self._now = self._virtual[fan_out]
        self._virtual[fan_out] += work / self._weights[fan_out]
        if fan_out in self._entered:
            self._enter(fan_out)

    def landed(self, attempts: int) -> None:
        """Free the room of attempts that were answered, returned or lost."""
        self.in_flight -= attempts

    def _enter(self, fan_out: F) -> None:
        self._count += 1
        self._entered[fan_out] = self._count
        heappush(self._turns, (self._virtual[fan_out], self._count, fan_out))
