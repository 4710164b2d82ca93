"""How many invocations a service that throttles is given at a time."""

from __future__ import annotations

GAIN = 0.05
"""Each answer raises a limit that throttling has cut by so much,"""
STEADY_ANSWERS = 20
"""and by 1 after so many answers without throttling: then it doubles as fast as they come."""
PAUSE_SECONDS = 0.05
"""The first pause, at most, when everything was throttled; it doubles from one to the next."""
LONGEST_PAUSE_SECONDS = 20.0
GIVE_UP_SECONDS = 60.0
"""Throttling without a single success for so long is no passing state."""
LONG_AGO_SECONDS = 60.0
"""What was throttled so long ago, with nothing tried since, says nothing about now."""


class Concurrency:
    """An adaptive limit on concurrent invocations: additive increase, decrease to what was taken.

    A throttled invocation tells how many the service runs just now: those that it took and has not
    answered. That is the new limit. Every answer after it raises the limit a little, so that it is
    probed again and again, by about one throttled invocation in twenty; where the probe is taken,
    there is more room, and the limit rises fast ("slow start", Jacobson, SIGCOMM 1988). When
    nothing is under way at all, nothing will tell that there is room: then launching pauses, with
    full jitter and twice as long from one time to the next (Brooker, "Exponential Backoff And
    Jitter", 2015).

    Args:
        most: the limit's upper bound, and where it starts.

    Attributes:
        most: as given.
        limit: the limit now, at least 1.
        opens: when launching may go on, in seconds of the caller's clock.
    """

    __slots__ = ("_last", "_pauses", "_since", "_steady", "limit", "most", "opens")

    def __init__(self, most: int) -> None:
        self.most: int = most
        self.limit: float = float(most)
        self.opens: float = 0.0
        self._pauses = 0
        self._steady = 0
        self._since: float | None = None
        self._last = 0.0

    def room(self, now: float, in_flight: int) -> int:
        """Return how many invocations may be launched beside those in flight."""
        if now < self.opens:
            return 0
        return max(0, int(self.limit) - in_flight)

    def answered(self) -> None:
        """Know that an invocation ran."""
        if self._since is not None:
            self._since = None
            self._pauses = 0
        if self.limit < self.most:
            self._steady += 1
            gain = GAIN if self._steady <= STEADY_ANSWERS else 1.0
            self.limit = min(float(self.most), self.limit + gain)

    def throttled(
        self, now: float, in_flight: int, chance: float, retry_after: float | None = None
    ) -> None:
        """Know that an invocation was refused.

        Args:
            now: the time, in seconds of the caller's clock.
            in_flight: invocations under way beside it.
            chance: a random number from [0, 1).
            retry_after: seconds to wait, if the service said so; more than 20 are too many.
        """
        if self._since is None or now - self._last > LONG_AGO_SECONDS:
            self._since = now
        self._last = now
        self._steady = 0
        self.limit = max(1.0, min(self.limit, float(in_flight)))
        # A whole wave may come back refused: it is one pause, not as many as it had invocations.
        if not in_flight and self.opens <= now:
            self._pauses += 1
            pause = min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(self._pauses - 1, 60))
            self.opens = now + chance * pause
        if retry_after is not None:
            self.opens = max(self.opens, now + min(retry_after, LONGEST_PAUSE_SECONDS))

    def is_hopeless(self, now: float, in_flight: int) -> bool:
        """Tell whether the service has refused everything for a minute, with nothing under way."""
        return self._since is not None and not in_flight and now - self._since >= GIVE_UP_SECONDS
