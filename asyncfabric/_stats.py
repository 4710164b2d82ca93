"""What the handles of a user tell of the calls: counts of one map, or of all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import add, sub
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .scheduling import FanOut


@dataclass(frozen=True, slots=True)
class MapStats:
    """How far a map is: inputs read so far, and what became of them.

    Attributes:
        read: inputs read from the iterable.
        finished: calls with a value.
        failed: calls that failed for good.
        in_flight: calls at the workers, copies included.
        attempts: executions that were begun; calls that came back unrun don't count.
        repeated: attempts that failed and were followed by another (see `Retry`).
        copies: attempts at calls that another worker took too long for (see `Hedge`).
        copies_won: calls whose value came from a copy.
    """

    read: int = 0
    finished: int = 0
    failed: int = 0
    in_flight: int = 0
    attempts: int = 0
    repeated: int = 0
    copies: int = 0
    copies_won: int = 0


class Totals:
    """Adds up what the fan-outs of a Fabric came to.

    A fan-out is counted by its own figures: one that is at work is asked for them, and of one that
    has ended they are kept, until it is taken up again.
    """

    def __init__(self) -> None:
        self._ended = [0] * len(fields(MapStats))
        self._figures: WeakKeyDictionary[FanOut, tuple[int, ...]] = WeakKeyDictionary()

    def ends(self, fan_out: FanOut) -> None:
        """Keep the figures of a fan-out that is not asked any more."""
        last = self._figures[fan_out] = figures(fan_out)
        self._ended = [*map(add, self._ended, last)]

    def begins(self, fan_out: FanOut) -> None:
        """Know a fan-out that is asked from now on, perhaps once more."""
        if (last := self._figures.pop(fan_out, None)) is not None:
            self._ended = [*map(sub, self._ended, last)]

    def stats(self, at_work: Iterable[FanOut]) -> MapStats:
        """Return what all have come to, with those that are at work."""
        rows = [self._ended, *map(figures, at_work)]
        return MapStats(*map(sum, zip(*rows, strict=True)))


def figures(fan_out: FanOut) -> tuple[int, ...]:
    """Return the figures of a fan-out in the order of `MapStats`."""
    return (
        fan_out.read,
        fan_out.finished,
        fan_out.failed_calls,
        fan_out.in_flight,
        fan_out.attempts,
        fan_out.repeated,
        fan_out.copied,
        fan_out.copies_won,
    )
