"""Quantiles of a stream of times, at constant cost."""

from __future__ import annotations

import math

_WIDTH = 0.02
"""Relative width of a bucket, and so the error of a quantile."""
_SCALE = 1.0 / math.log1p(_WIDTH)
_LEAST = 1e-9
_STALE = 32


class Sketch:
    """Counts times in logarithmic buckets: the idea of DDSketch (Masson, Rim and Lee, VLDB 2019).

    The quantiles are worked out anew when the count has grown by a thirty-second: so rarely that
    an added time costs the same among a thousand and among a million.

    Args:
        quantile: which one `high` is.

    Attributes:
        count: how many times were counted.
        median: half of them are below it; 0 where there are none.
        high: the share `quantile` of them are below it; 0 where there are none.
    """

    __slots__ = ("_above", "_buckets", "_fresh_until", "_quantile", "count", "high", "median")

    def __init__(self, quantile: float) -> None:
        self.count = 0
        self.median = self.high = 0.0
        self._quantile = quantile
        self._buckets: dict[int, int] = {}
        self._above = 0
        self._fresh_until = 0

    def add(self, value: float, times: int = 1) -> bool:
        """Count a time, or several alike; return whether the quantiles were worked out anew."""
        bucket = math.floor(math.log(max(value, _LEAST)) * _SCALE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + times
        self.count += times
        if self.count <= self._fresh_until:
            return False
        self._work_out()
        return True

    def reckon_with(self, above: int) -> None:
        """Count so many more times, not known but that they are above the quantiles."""
        self._above = above
        self._work_out()

    def times(self, factor: float) -> Sketch:
        """Return a sketch of all these times, multiplied."""
        other = Sketch(self._quantile)
        shift = round(math.log(factor) * _SCALE)
        other._buckets = {bucket + shift: count for bucket, count in self._buckets.items()}
        other.count, other._above = self.count, self._above
        other._work_out()
        return other

    def _work_out(self) -> None:
        self._fresh_until = self.count + self.count // _STALE
        # Where too many are above, what is known must do.
        everything = self.count + self._above
        half = min(0.5 * everything, self.count)
        most = min(self._quantile * everything, self.count)
        below = 0
        median: float | None = None
        high = 0.0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            high = math.exp((bucket + 0.5) / _SCALE)
            if median is None and below >= half:
                median = high
            if below >= most:
                break
        self.high = high
        self.median = high if median is None else median
