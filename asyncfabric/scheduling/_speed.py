"""How long the calls of one fan-out take, and how long is too long."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from ._sketch import Sketch

if TYPE_CHECKING:
    from ._flight import Flight
    from ._hedge import Hedge

_FEW = 3
_PLAINLY = 0.8
"""Times by the byte count only where they are plainly more alike than times as such."""


class Speed:
    """Times of the calls that have finished, in parts that have causes of their own.

    The *run* is what a call kept its worker busy; by the byte of input, where that makes calls more
    alike: a call that has more to do is not late. The *way* is the rest, from launch to answer,
    that a whole invocation has once; with a worker to be started it is another.

    Args:
        policy: which quantile is of interest.

    Attributes:
        together: the calls of an invocation run at the same time, as coroutines do.
    """

    __slots__ = (
        "_deviation",
        "_gaps",
        "_limits",
        "_marked",
        "_policy",
        "_run",
        "_scaled",
        "_size",
        "_ways",
        "together",
    )

    def __init__(self, policy: Hedge) -> None:
        self._policy = policy
        quantile = policy.quantile
        self._deviation = NormalDist().inv_cdf(quantile)
        self.together = False
        self._run = Sketch(quantile)
        self._size = 0.0
        self._scaled: Sketch | None = None
        """By the byte, once there are inputs of several sizes."""
        self._limits: dict[tuple[int, bool, bool], float] = {}
        """After how long which kinds of invocations are late, by what is known now."""
        self._ways = {cold: Sketch(quantile) for cold in (False, True)}
        self._marked, self._gaps = Sketch(quantile), Sketch(quantile)

    def ran(self, entry: Flight, calls: int, seconds: float) -> None:
        """Learn that calls of an invocation kept a worker busy for so long, each."""
        if self._scaled is not None:
            if entry.size:
                self._scaled.add(seconds / entry.size, calls)
        elif entry.size != self._size:
            if self._size and entry.size:
                self._scaled = self._run.times(1.0 / self._size)
                self._scaled.add(seconds / entry.size, calls)
            self._size = entry.size
        if self._run.add(seconds, calls):
            self._limits.clear()

    def came(self, seconds: float, *, cold: bool) -> None:
        """Learn what an invocation took apart from its calls, and whether by a new worker."""
        if self._ways[cold].add(seconds):
            self._limits.clear()

    def reckon_with(self, above: int) -> None:
        """Know how many have not finished that have taken longer than most by now."""
        self._run.reckon_with(above)
        if self._scaled is not None:
            self._scaled.reckon_with(above)
        for way in self._ways.values():
            way.reckon_with(above)
        self._limits.clear()

    def foretold(self, seconds: float) -> None:
        """Learn what a call will have taken, going by its own progress."""
        if self._marked.add(seconds):
            self._limits.clear()

    def heard(self, seconds: float) -> None:
        """Learn after how long a call told of its progress, since it did so before."""
        self._gaps.add(seconds)

    # -- what to expect -------------------------------------------------------------------------

    def knows(self, at_work: int) -> bool:
        """Tell whether enough calls have finished, beside so many at work, to judge by."""
        return self._run.count >= max(_FEW, at_work)

    def foresees(self, at_work: int) -> bool:
        """Tell whether enough calls have told of their progress to judge by."""
        return 2 * self._marked.count >= max(2 * _FEW, at_work) or self.knows(at_work)

    def late(self, entry: Flight) -> float:
        """Return after how many seconds an invocation is late."""
        kind = entry.left, entry.cold, entry.begun
        limit = self._limits.get(kind)
        if limit is None or self._scaled is not None:
            limit = self._limits[kind] = self._late(entry)
        return limit

    def _late(self, entry: Flight) -> float:
        way, calls = self._way(entry), self._calls(entry)
        run = calls * self._each(entry, high=False)
        spread = calls * self._each(entry, high=True) - run
        # The parts have nothing to do with each other: their deviations add as squares.
        usual = way.median + run
        margin = (1.0 + self._policy.margin) * math.hypot(way.high - way.median, spread)
        return max(usual + margin, self._policy.factor * usual)

    @property
    def told(self) -> bool:
        """Whether calls tell of their progress."""
        return self._gaps.count >= _FEW

    def silence(self, entry: Flight, share: float) -> float | None:
        """Return for how long a call that has come so far may say nothing; None if for ever.

        One that takes twice as long as usual for a step will take so for the others. It is late
        when that is more than a fresh copy would take.
        """
        gap = self._gaps
        if not self.told or share >= 1.0:
            return None
        whole = self._each(entry, high=False)
        if not whole:
            return None
        slower = self._policy.factor * self.usual(entry) / ((1.0 - share) * whole)
        margin = (1.0 + self._policy.margin) * (gap.high - gap.median)
        return max(slower * gap.median, gap.median + margin)

    def excuse(self, entry: Flight, seconds: float) -> float:
        """Return the share of invocations that take so long by their way alone.

        Going by the lognormal distribution that has the way's median and quantile: what starts of
        workers and answers of services are like.
        """
        way = self._way(entry)
        spare = seconds - self._calls(entry) * self._each(entry, high=False)
        if spare <= way.median or way.high <= way.median:
            return 0.0
        deviations = math.log(spare / way.median) / math.log(way.high / way.median)
        return 0.5 * math.erfc(deviations * self._deviation / math.sqrt(2.0))

    def usual(self, entry: Flight) -> float:
        """Return what its calls would take if they were launched anew."""
        way = self._ways[False] if self._ways[False].count else self._ways[True]
        return way.median + self._calls(entry) * self._each(entry, high=False)

    def left(self, entry: Flight, place: int) -> float:
        """Return what the calls behind the one that is running would take."""
        behind = min(self._calls(entry), len(entry.batch.inputs) - place) - 1
        return behind * self._each(entry, high=False)

    @property
    def yardstick(self) -> float:
        """A time that is proportional to most others that are expected."""
        way = self._ways[False] if self._ways[False].count >= _FEW else self._ways[True]
        return way.high + self._run.high

    def _calls(self, entry: Flight) -> int:
        return 1 if self.together else entry.left

    def _way(self, entry: Flight) -> Sketch:
        if entry.begun:
            return _NOTHING
        way = self._ways[entry.cold]
        return way if way.count >= _FEW else self._ways[not entry.cold]

    def _each(self, entry: Flight, *, high: bool) -> float:
        run, scaled = self._run, self._scaled
        if not run.count:
            return self._marked.median
        if (
            scaled is not None
            and entry.size
            and scaled.count == run.count
            and scaled.high * run.median < _PLAINLY * scaled.median * run.high
        ):
            return entry.size * (scaled.high if high else scaled.median)
        return run.high if high else run.median


_NOTHING = Sketch(0.5)
