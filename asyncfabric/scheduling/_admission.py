"""Which fan-out of a Fabric launches next, and how many attempts may be in flight at all.

Fan-outs take turns by start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each carries a
virtual time that advances by the work it launches over its weight, and the one that is furthest
behind goes next. One that comes back from a pause starts at the present virtual time: a pause earns
no credit. While two fan-outs both have something to launch, the work they have launched, each over
its weight, differs by no more than the largest single launch of either, over its weight.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

F = TypeVar("F")

_FEW = 64
"""Turns that are void are not worth clearing away below this number."""


@dataclass(slots=True)
class _Turn(Generic[F]):
    """A place in the line; void when its fan-out has moved to another, rests or has left."""

    fan_out: F | None


@dataclass(slots=True)
class _Share(Generic[F]):
    """What is known of a fan-out."""

    weight: float
    kind: Hashable
    virtual: float = 0.0
    turn: _Turn[F] | None = None


class Admission(Generic[F]):
    """The one admission of a backend, shared by all the maps of a Fabric.

    Every operation costs at most the logarithm of the number of fan-outs that are awake, on
    average over many.

    Args:
        limit: attempts in flight at most; None for as many as the backend takes.

    Attributes:
        limit: as given.
        in_flight: attempts that were launched and have not landed.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.in_flight: int = 0
        self._now = 0.0
        self._awake = 0
        self._displaced: F | None = None
        self._numbers = 0
        self._shares: dict[F, _Share[F]] = {}
        # By virtual time, then by number, so that turns themselves are never compared.
        self._lines: dict[Hashable, list[tuple[float, int, _Turn[F]]]] = {}

    def room(self) -> int | None:
        """Return how many more attempts may be launched; None for no limit."""
        return None if self.limit is None else max(0, self.limit - self.in_flight)

    # -- who takes turns ------------------------------------------------------------------------

    def join(self, fan_out: F, weight: float, kind: Hashable = None) -> None:
        """Know a fan-out. It takes no turns until it is awake.

        Args:
            fan_out: whatever stands for it, hashable.
            weight: its share, relative to those of others; above 0.
            kind: fan-outs of a kind fit into the same places of the backend.
        """
        self.leave(fan_out)
        self._shares[fan_out] = _Share(weight, kind, self._now)

    def leave(self, fan_out: F) -> None:
        """Forget a fan-out."""
        self.rest(fan_out)
        self._shares.pop(fan_out, None)

    def wake(self, fan_out: F) -> bool:
        """Let a fan-out take turns: it has, or may have, something to launch.

        Returns whether that is news.
        """
        share = self._shares.get(fan_out)
        if share is None or share.turn is not None:
            return False
        share.virtual = max(share.virtual, self._now)
        self._put_in_place()
        self._awake += 1
        self._line_up(fan_out, share)
        return True

    def rest(self, fan_out: F) -> None:
        """Let a fan-out take no more turns until it is woken."""
        share = self._shares.get(fan_out)
        if share is not None and share.turn is not None:
            share.turn.fan_out = None
            share.turn = None
            self._awake -= 1
            if self._displaced is fan_out:
                self._displaced = None  # and it isn't kept from being collected

    def takes_alone(self, fan_out: F) -> bool:
        """Tell whether a fan-out is known, and neither it nor any other takes turns just now."""
        return not self._awake and fan_out in self._shares

    @property
    def waits(self) -> bool:
        """Whether any fan-out takes turns."""
        return self._awake > 0

    def turn(self, full: Collection[Hashable] = ()) -> F | None:
        """Return the fan-out whose turn it is, or None.

        It stays its turn until it launches or rests. Fan-outs whose kind is among `full` are
        passed over, and lose nothing by it.
        """
        best: tuple[float, int, _Turn[F]] | None = None
        for kind, line in self._lines.items():
            if kind in full:
                continue
            while line and line[0][2].fan_out is None:
                heappop(line)
            if line and (best is None or line[0] < best):
                best = line[0]
        return None if best is None else best[2].fan_out

    # -- what they launch -----------------------------------------------------------------------

    def launched(self, fan_out: F, attempts: int, work: float) -> None:
        """Charge a launch: attempts in flight, and work (any unit) against its share."""
        self.in_flight += attempts
        share = self._shares.get(fan_out)
        if share is None:
            return
        self._now = max(self._now, share.virtual)
        self._charge(fan_out, share, work)

    def landed(self, attempts: int) -> None:
        """Free the room of attempts that were answered, returned or lost."""
        self.in_flight -= attempts

    def corrected(self, fan_out: F, work: float) -> None:
        """Charge work that was not foreseen at the launch; give back, where it is below 0."""
        share = self._shares.get(fan_out)
        if share is not None:
            self._charge(fan_out, share, work)

    def _charge(self, fan_out: F, share: _Share[F], work: float) -> None:
        share.virtual += work / share.weight
        if share.turn is not None:
            # Alone, it is first wherever it stands: it is put in its place when another one comes.
            self._displaced = fan_out
            if self._awake > 1:
                self._put_in_place()

    def _put_in_place(self) -> None:
        fan_out, self._displaced = self._displaced, None
        share = None if fan_out is None else self._shares.get(fan_out)
        if fan_out is not None and share is not None and share.turn is not None:
            share.turn.fan_out = None
            self._line_up(fan_out, share)

    def _line_up(self, fan_out: F, share: _Share[F]) -> None:
        self._numbers += 1
        share.turn = turn = _Turn(fan_out)
        line = self._lines.setdefault(share.kind, [])
        heappush(line, (share.virtual, self._numbers, turn))
        if len(line) > _FEW + 2 * self._awake:
            line[:] = [entry for entry in line if entry[2].fan_out is not None]
            heapify(line)
