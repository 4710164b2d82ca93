"""Which fan-out of a Fabric launches next, and how many attempts may be in flight at all.

Fan-outs take turns by start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each carries a
virtual time that advances by the work it launches over its weight, and the one that is furthest
behind goes next. One that comes back from a pause starts at the present virtual time: a pause earns
no credit. While two fan-outs both have something to launch, the work they have launched, each over
its weight, differs by no more than the largest single launch of either, over its weight.

How many may be in flight is a fixed limit, and where the service behind the backend throttles, what
it was found to take.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic, TypeVar

from ._budget import Budget
from ._throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    from ._limit import Limit
    from ._throttle import Scarce

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
        limit: how many may be in flight at most; None for as many as the backend takes.
        adapt: how to find out what the service takes; None where it doesn't throttle.

    Attributes:
        limit: as given.
        in_flight: what was launched and has not landed: attempts, or invocations where it is those
            that the backend bounds.
        budget: for repetitions.
    """

    def __init__(self, limit: int | None, adapt: Limit | None = None) -> None:
        self.limit = limit
        self.in_flight: int = 0
        self._most = 0
        self.budget: Budget = Budget()
        self._throttle = None if adapt is None else Throttle(limit, adapt)
        self._now = 0.0
        self._awake = 0
        self._displaced: F | None = None
        self._lone: F | None = None
        """The only one that is awake, if it is known which that is."""
        self._numbers = 0
        self._shares: dict[F, _Share[F]] = {}
        # By virtual time, then by number, so that turns themselves are never compared.
        self._lines: dict[Hashable, list[tuple[float, int, _Turn[F]]]] = {}

    # -- room -----------------------------------------------------------------------------------

    @property
    def limit_now(self) -> int | None:
        """How many may be in flight by what is known now; None for no limit."""
        return self.limit if self._throttle is None else self._throttle.limit

    @property
    def rate_now(self) -> float | None:
        """How many invocations a second may be launched by what is known now; None for any."""
        return None if self._throttle is None else self._throttle.rate

    def room(self, now: float) -> int | None:
        """Return how many more may be launched; None for no limit."""
        if self._throttle is not None:
            return self._throttle.room(now, self.in_flight)
        return None if self.limit is None else max(0, self.limit - self.in_flight)

    def opens(self, now: float) -> float | None:
        """Return when there may be room although nothing lands; None if never."""
        return None if self._throttle is None else self._throttle.opens(now)

    def answered(self, calls: int) -> None:
        """Know that an invocation, which has not landed yet, ran so many calls to a good end."""
        self.budget.earn(calls)
        if self._throttle is not None:
            self._throttle.answered(self.in_flight)

    def refused(
        self, now: float, scarce: Scarce, chance: float, retry_after: float | None = None
    ) -> bool:
        """Know that the service had no room for an invocation, which has landed.

        Args:
            now: the time, in seconds of the caller's clock.
            scarce: what there was too little of.
            chance: a random number from [0, 1).
            retry_after: seconds to wait, if the service said so.

        Returns whether there is hope still: something is at work, or patience isn't at its end.
        Without any, what waits should fail.
        """
        if self._throttle is None:
            return True
        self._throttle.refused(now, self.in_flight, scarce, chance, retry_after)
        return self.in_flight > 0 or not self._throttle.is_hopeless(now)

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
        self._lone = fan_out if self._awake == 1 else None
        self._line_up(fan_out, share)
        return True

    def rest(self, fan_out: F) -> None:
        """Let a fan-out take no more turns until it is woken."""
        share = self._shares.get(fan_out)
        if share is not None and share.turn is not None:
            share.turn.fan_out = None
            share.turn = None
            self._awake -= 1
            self._lone = None
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
        if self._lone is not None and not full:
            return self._lone
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

    def launched(self, fan_out: F, count: int, work: float, now: float = 0.0) -> bool:
        """Charge a launch: against the limits, and its work (any unit) against its share.

        Returns whether there are more in flight than ever before, so that a new worker may be
        needed.
        """
        self.in_flight += count
        if self._throttle is not None:
            self._throttle.launched(now)
        share = self._shares.get(fan_out)
        if share is not None:
            self._now = max(self._now, share.virtual)
            self._charge(fan_out, share, work)
        if self.in_flight <= self._most:
            return False
        self._most = self.in_flight
        return True

    def landed(self, count: int) -> None:
        """Free the room of what was answered, returned or lost."""
        self.in_flight -= count

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
