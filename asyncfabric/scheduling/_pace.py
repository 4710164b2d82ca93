"""How fast a function's calls go, and hence how many are worth one invocation."""

from __future__ import annotations

INVOCATION_SECONDS = 0.002
"""Work worth one invocation: enough to make its overhead (about 0.1 ms locally) a small share."""
INVOCATION_BYTES = 4 * 1024 * 1024
"""Inputs are not packed together past this many bytes."""
MOST_CALLS = 4096
"""Calls in one invocation at most."""

BUFFER_SECONDS = 0.25
"""A stream's buffer holds about this much work of all lanes together."""
BUFFER_BYTES = 64 * 1024 * 1024
"""And results of at most about this many bytes."""
BUFFER_CALLS = 65536

_WEIGHT = 0.5


class Pace:
    """Moving averages over a function's calls: seconds, and bytes of input and result."""

    __slots__ = ("input_bytes", "result_bytes", "seconds")

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.input_bytes = 0.0
        self.result_bytes = 0.0

    def ran(self, calls: int, seconds: float, result_bytes: int) -> None:
        """Learn that some calls kept a worker busy for so long and returned so much."""
        each = seconds / calls
        self.seconds = (
            each if self.seconds is None else self.seconds + _WEIGHT * (each - self.seconds)
        )
        self.result_bytes += _WEIGHT * (result_bytes / calls - self.result_bytes)

    def sent(self, calls: int, input_bytes: int) -> None:
        """Learn how large some inputs were."""
        self.input_bytes += _WEIGHT * (input_bytes / calls - self.input_bytes)

    def chunk(self) -> int:
        """Return how many calls make one invocation; 1 before anything is known."""
        if self.seconds is None:
            return 1
        calls = min(MOST_CALLS, int(INVOCATION_SECONDS / max(self.seconds, 1e-7)))
        if self.input_bytes:
            calls = min(calls, int(INVOCATION_BYTES / self.input_bytes))
        return max(1, calls)

    def buffer(self, lanes: int) -> int:
        """Return how many calls of a stream may be read ahead of its consumer."""
        least = 2 * lanes * self.chunk()
        if self.seconds is None:
            return least
        calls = min(BUFFER_CALLS, int(BUFFER_SECONDS * lanes / max(self.seconds, 1e-7)))
        if self.result_bytes + self.input_bytes:
            calls = min(calls, int(BUFFER_BYTES / (self.result_bytes + self.input_bytes)))
            least = min(least, max(2 * lanes, calls))
        return max(least, calls)
