"""How fast a function's calls go, and hence how many are worth one invocation."""

from __future__ import annotations

INVOCATION_SECONDS = 0.002
"""Work worth one invocation, unless the backend says otherwise: enough to make the overhead (about
0.1 ms locally) a small share."""
INVOCATION_BYTES = 1024 * 1024
"""Inputs are not packed together past this many bytes."""
CARRIED_SHARE = 0.75
"""Of what an invocation can carry: sizes vary, and code goes along."""
MOST_CALLS = 4096
"""Calls in one invocation at most."""
GROWTH = 8
"""An invocation has at most this many times the calls that were ever measured, so that one lucky
sample doesn't pack thousands of long calls together: 1, 8, then by what those showed."""

BUFFER_SECONDS = 0.25
"""A stream's buffer holds about this much work of all lanes together."""
BUFFER_BYTES = 64 * 1024 * 1024
"""And results of at most about this many bytes."""
BUFFER_CALLS = 65536

_WEIGHT = 0.5
_LEAST_SECONDS = 1e-7


class Pace:
    """Moving averages over a function's calls: seconds, and bytes of input and result.

    They are exponentially weighted, each report counting half, be it of one call or of thousands:
    a report of a few slow calls makes the next invocations small at once, and after it they grow
    to twice the size by each report of fast ones. So a slow first call (imports) is forgotten
    after some twenty reports, and where durations are mixed, invocations are rather too small than
    too large.

    Args:
        worth: seconds of work worth one invocation.
        carries: bytes of inputs, and of results, that an invocation can carry itself; None for any.

    Attributes:
        seconds: one call keeps its worker busy for so long, overhead included; processor time for
            coroutine functions, since those wait for each other's sake. None before any report.
        input_bytes: pickled size of an input.
        result_bytes: size of a result on the wire.
    """

    __slots__ = (
        "_carries",
        "_chunk",
        "_measured",
        "_worth",
        "input_bytes",
        "result_bytes",
        "seconds",
    )

    def __init__(self, worth: float = INVOCATION_SECONDS, carries: int | None = None) -> None:
        self._worth = worth
        self._carries = carries
        self.seconds: float | None = None
        self.input_bytes: float = 0.0
        self.result_bytes: float = 0.0
        self._measured = 0
        self._chunk = 1

    def ran(self, calls: int, seconds: float, result_bytes: int) -> None:
        """Learn that some calls, at least one, kept a worker busy for so long and returned so much.

        What was spent once, such as loading the function, is not to be counted.
        """
        each = seconds / calls
        size = result_bytes / calls
        if self.seconds is None:
            self.seconds, self.result_bytes = each, size
        else:
            self.seconds += _WEIGHT * (each - self.seconds)
            self.result_bytes += _WEIGHT * (size - self.result_bytes)
        self._measured += calls
        self._chunk = 0 if self.seconds < self._worth else 1

    def sent(self, calls: int, input_bytes: int) -> None:
        """Learn how large some inputs, at least one, were."""
        size = input_bytes / calls
        if not self.input_bytes:
            self.input_bytes = size
        else:
            self.input_bytes += _WEIGHT * (size - self.input_bytes)
        if self._chunk > 1:
            self._chunk = 0  # and one that is 1 grows with an answer, not before

    def _fit(self) -> int:
        chunk = 1
        if self.seconds is not None:
            calls = int(self._worth / max(self.seconds, _LEAST_SECONDS))
            if self.input_bytes:
                calls = min(calls, int(INVOCATION_BYTES / self.input_bytes))
            if self._carries is not None:
                # What is larger takes two requests to the store; another invocation costs less.
                size = max(self.input_bytes, self.result_bytes, 1.0)
                calls = min(calls, int(CARRIED_SHARE * self._carries / size))
            chunk = max(1, min(calls, MOST_CALLS, GROWTH * self._measured))
        self._chunk = chunk
        return chunk

    def chunk(self) -> int:
        """Return how many calls make one invocation; 1 before anything is known."""
        return self._chunk or self._fit()

    def buffer(self, lanes: int) -> int:
        """Return how many calls of a stream may be read ahead of its consumer."""
        least = 2 * lanes * self.chunk()
        if self.seconds is None:
            return least
        calls = min(BUFFER_CALLS, int(BUFFER_SECONDS * lanes / max(self.seconds, _LEAST_SECONDS)))
        size = self.result_bytes + self.input_bytes
        if size:
            calls = min(calls, int(BUFFER_BYTES / size))
            least = min(least, max(2 * lanes, calls))
        return max(least, calls)
