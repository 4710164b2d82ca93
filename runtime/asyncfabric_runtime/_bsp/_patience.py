"""When a read takes too long, and how many may be asked for twice: decided without IO."""

from __future__ import annotations

from bisect import insort

SLOW = 3.0
"""Times the median. 1.1 to 2 times asked for many reads that were about to end."""
AT_LEAST = 0.05
"""Seconds below which no read is late: a store's own jitter."""
KNOWN = 8
SHARE = 0.05
"""Of the reads that may be asked for twice."""
_KEPT = 256


class Patience:
    """Learns how long reads take."""

    def __init__(self) -> None:
        self._recent: list[float] = []
        self._sorted: list[float] = []
        self._begun = self._copies = 0

    def begun(self) -> None:
        """Know that a read was begun."""
        self._begun += 1

    def took(self, seconds: float) -> None:
        """Know how long one took."""
        self._recent.append(seconds)
        insort(self._sorted, seconds)
        if len(self._recent) > _KEPT:
            self._sorted.remove(self._recent.pop(0))

    def limit(self) -> float | None:
        """Return the seconds after which a read is late, None while that isn't known."""
        if len(self._sorted) < KNOWN:
            return None
        return max(AT_LEAST, SLOW * self._sorted[len(self._sorted) // 2])

    def copy(self) -> bool:
        """Ask for one more copy; False where there have been enough."""
        if self._copies + 1 > max(1.0, SHARE * self._begun):
            return False
        self._copies += 1
        return True
