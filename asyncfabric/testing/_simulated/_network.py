"""What an environment's network carries."""

from __future__ import annotations

from contextvars import ContextVar


class Network:
    """Lets bursts pass, and after those so many bytes a second over all connections together.

    Args:
        burst: bytes of a burst; they are saved up at the steady rate.
        rate: bytes a second after it.
    """

    __slots__ = ("_burst", "_left", "_rate", "_seen")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = self._left = burst
        self._rate = rate
        self._seen = 0.0

    def seconds(self, size: int, now: float) -> float:
        """Take so many bytes in; return how long it is at least until they are through."""
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate) - size
        self._seen = now
        return max(0.0, -self._left / self._rate)


network: ContextVar[Network | None] = ContextVar("network", default=None)
"""That of the environment which the present task runs in; None in the driver."""
