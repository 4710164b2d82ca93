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

    The quantiles are worked out anew when they are asked for and the count has grown by a
    thirty-second: so rarely that an added time costs the same among a thousand and among a million.

    Args:
        quantile: which one `high` is.
    """

    __slots__ = ("_above", "_buckets", "_fresh_until", "_high", "_median", "_quantile", "count")

    def __init__(self, quantile: float) -> None:
        self.count = 0
        self._quantile = quantile
        self._buckets: dict[int, int] = {}
        self._fresh_until = 0
        self._above = 0
        self._median = self._high = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a time, or several alike."""
        bucket = math.floor(math.log(max(value, _LEAST)) * _SCALE)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + times
        self.count += times

    def reckon_with(self, above: int) -> None:
        """Count so many more times, not known but that they are above the quantiles."""
        self._above, self._fresh_until = above, 0

    @property
    def median(self) -> float:
        """Half of the times are below it; 0 where there are none."""
        self._work_out()
        return self._median

    @property
    def high(self) -> float:
        """The share `quantile` of the times are below it; 0 where there are none."""
        self._work_out()
        return self._high

    def _work_out(self) -> None:
        if self.count <= self._fresh_until or not self.count:
            return
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
        self._high = high
        self._median = high if median is None else median
