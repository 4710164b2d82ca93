"""What a stream of times is like, from a sample of it, at constant cost."""

from __future__ import annotations

import math
from statistics import NormalDist

_MOST = 1024
_HIGH, _LOW = 0.9, 0.75
"""The spread is read off the median and this quantile, or a lower one where that isn't known yet.
What is beyond may be slow for a reason of its own."""
_LEAST = 1e-6
_MOST_CURVED = 2.0
"""The tail is at most so many times as long as that of a normal distribution: where the median is
next to nothing, a lognormal one has no end."""
_NORMAL = NormalDist()


class Times:
    """Times, in seconds, taken for a lognormal distribution.

    Up to 1,024 are kept; then every other one is dropped, and of those to come as many are left
    out, and so on: the sample is always spread evenly over all of them.

    Attributes:
        count: how many there were.
        median: half of them are below it; 0 where nothing is known. As of the last `fit`.
        spread: the standard deviation of their logarithms. As of the last `fit`.
    """

    __slots__ = ("_kept", "_step", "_straight", "count", "median", "spread")

    def __init__(self) -> None:
        self.count = 0
        self.median = self.spread = self._straight = 0.0
        self._kept: list[float] = []
        self._step = 1

    def add(self, seconds: float) -> None:
        """Count a time."""
        self.count += 1
        if self.count % self._step:
            return
        self._kept.append(seconds)
        if len(self._kept) > _MOST:
            del self._kept[::2]
            self._step *= 2

    def times(self, factor: float) -> Times:
        """Return all these times, multiplied."""
        other = Times()
        other.count, other._step = self.count, self._step
        other._kept = [each * factor for each in self._kept]
        return other

    def fit(self, above: int = 0) -> None:
        """Work out what they are like, counting others that are known to be above most.

        Those are at most a quarter of all: with more, nothing could be said about the rest.
        """
        kept = sorted(self._kept)
        if not kept:
            return
        known = len(kept)
        everything = known + min(above / self._step, known * (1.0 / _LOW - 1.0))
        level = min(_HIGH, max(_LOW, known / (everything + 1)))
        self.median = max(_LEAST, kept[min(known - 1, int(everything / 2))])
        high = kept[min(known - 1, int(level * everything))]
        deviations = _NORMAL.inv_cdf(level)
        self.spread = math.log(max(1.0, high / self.median)) / deviations
        self._straight = max(0.0, high - self.median) / deviations

    def at(self, deviations: float) -> float:
        """Return the time that is so many standard deviations above the median."""
        curved = self.median * (math.exp(self.spread * deviations) - 1.0)
        return self.median + min(curved, _MOST_CURVED * self._straight * deviations)
