"""How long the calls of one fan-out take, and how long is too long."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from ._times import Times

if TYPE_CHECKING:
    from ._flight import Flight
    from ._hedge import Hedge

_FEW = 3
_PLAINLY = 0.8
"""Times by the byte count only where they are plainly more alike than times as such."""
COPIES_OF_ONE = 2
"""An invocation is copied so many times; if its copies are late as well, those are copied."""
_SURER = 5.0
"""The second copy takes so many times as much certainty."""


class Speed:
    """Times of the calls that have finished, in parts that have causes of their own.

    The *run* is what a call kept its worker busy; by the byte of input, where that makes calls more
    alike: a call that has more to do is not late. The *way* is the rest, from launch to answer,
    that a whole invocation has once; with a worker to be started it is another.

    Args:
        policy: what is late.

    Attributes:
        together: the calls of an invocation run at the same time, as coroutines do.
    """

    __slots__ = (
        "_deviations",
        "_fitted",
        "_gaps",
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
        self._deviations = [
            NormalDist().inv_cdf(1.0 - policy.chance / _SURER**copies)
            for copies in range(COPIES_OF_ONE + 1)
        ]
        self._fitted = 0, 0
        """What was known at the last fit."""
        self.together = False
        self._run = Times()
        self._size = 0.0
        self._scaled: Times | None = None
        """By the byte, once there are inputs of several sizes."""
        self._ways = Times(), Times()
        self._marked, self._gaps = Times(), Times()

    # -- what happens ---------------------------------------------------------------------------

    def ran(self, entry: Flight, seconds: float) -> None:
        """Learn that a call of an invocation kept a worker busy for so long."""
        if entry.size != self._size and self._scaled is None:
            if self._size:
                self._scaled = self._run.times(1.0 / self._size)
            self._size = entry.size
        if self._scaled is not None and entry.size:
            self._scaled.add(seconds / entry.size)
        self._run.add(seconds)

    def came(self, seconds: float, *, cold: bool) -> None:
        """Learn what an invocation took apart from its calls, and whether by a new worker."""
        self._ways[cold].add(seconds)

    def foretold(self, seconds: float) -> None:
        """Learn what a call will have taken, going by its own progress."""
        self._marked.add(seconds)

    def heard(self, seconds: float) -> None:
        """Learn after how long a call told of its progress, since it did so before."""
        self._gaps.add(seconds)

    def fit(self, old: int) -> None:
        """Work out what is usual, with so many on their way that have taken long by now."""
        if self._fitted == (self.count, old):
            return
        self._fitted = self.count, old
        self._run.fit(old)
        if self._scaled is not None:
            self._scaled.fit(old)
        for way in self._ways:
            way.fit(old)
        if self.told:
            self._marked.fit()
            self._gaps.fit()

    # -- what to expect -------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """How much is known."""
        return self._run.count + self._marked.count

    @property
    def told(self) -> bool:
        """Whether calls tell of their progress."""
        return self._gaps.count >= _FEW

    def foresees(self, at_work: int, old: int) -> bool:
        """Tell whether enough is known to judge those at work by, some of them old."""
        ended = self._run.count
        return (ended >= max(_FEW, at_work) and ended >= _FEW * old) or (
            2 * self._marked.count >= max(2 * _FEW, at_work)
        )

    @property
    def soonest(self) -> float:
        """After how many seconds it is worth asking when an invocation will be late."""
        run = self._runs
        due = run.median
        if self._scaled is None:
            due = max(self._policy.factor * due, run.at(self._deviations[0]))
        if self.told:
            due = min(due, self._gaps.median)
        return max(self._policy.least, due)

    @property
    def yardstick(self) -> float:
        """A time that falls when others do by which invocations are late."""
        return sum(each.at(self._deviations[0]) for each in (self._runs, *self._ways))

    def late(self, entry: Flight) -> float:
        """Return after how many seconds an invocation is late."""
        way, deviations = self._way(entry), self._deviations[entry.copied]
        run, amount = self._run_of(entry)
        usual = way.median + amount * run.median
        # The parts have nothing to do with each other: their deviations add as squares.
        margin = math.hypot(
            way.at(deviations) - way.median, amount * (run.at(deviations) - run.median)
        )
        return max(usual + margin, self._policy.factor * usual)

    def silence(self, entry: Flight) -> float | None:
        """Return for how long a call may say nothing of its progress; None if for ever.

        One that takes twice as long as usual for a step will take so for the others. It is late
        when that is more than a fresh copy would take.
        """
        left = (1.0 - entry.heard[1]) * self._runs.median
        if not self.told or left <= 0.0:
            return None
        gaps = self._gaps
        slower = self._policy.factor * self.usual(entry) / left
        return max(slower * gaps.median, gaps.at(self._deviations[0]))

    def usual(self, entry: Flight) -> float:
        """Return what its calls would take if they were launched anew."""
        run, amount = self._run_of(entry)
        warm, cold = self._ways
        return (warm if warm.count else cold).median + amount * run.median

    def left(self, entry: Flight, place: int) -> float:
        """Return what the calls behind the one that is running would take."""
        run, amount = self._run_of(entry)
        calls = self._calls(entry)
        return (min(calls, len(entry.batch.inputs) - place) - 1) / calls * amount * run.median

    def _calls(self, entry: Flight) -> int:
        return 1 if self.together else entry.left

    @property
    def _runs(self) -> Times:
        return self._run if self._run.median else self._marked  # what was fitted

    def _run_of(self, entry: Flight) -> tuple[Times, float]:
        """Return times, and how many of them its calls take one after another."""
        run, scaled, calls = self._runs, self._scaled, self._calls(entry)
        if (
            scaled is not None
            and entry.size
            and scaled.count == run.count
            and scaled.spread < _PLAINLY * run.spread
        ):
            return scaled, calls * entry.size
        return run, calls

    def _way(self, entry: Flight) -> Times:
        if entry.begun:
            return _NONE
        way = self._ways[entry.cold]
        return way if way.count >= _FEW else self._ways[not entry.cold]


_NONE = Times()
