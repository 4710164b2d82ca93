"""Who may run now: concurrency, reserved concurrency, and how fast environments may start."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._counters import Tally
    from ._function import Function
    from ._settings import Limits

CONCURRENCY = "ConcurrentInvocationLimitExceeded"
RESERVED_CONCURRENCY = "ReservedFunctionConcurrentInvocationLimitExceeded"
RATE = "FunctionInvocationRateLimitExceeded"
RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"


class Bucket:
    """An allowance of `size`, refilled evenly with `rate` a second. Times are in seconds."""

    def __init__(self, size: float, rate: float, now: float) -> None:
        self._size = size
        self._rate = rate
        self._left = size
        self._seen = now

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        self._left = min(self._size, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Admission:
    """The account's concurrency and the functions' shares of it."""

    def __init__(self, limits: Limits, tally: Tally) -> None:
        self._limits = limits
        self._tally = tally
        self._reserved: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._ramps: dict[str, Bucket] = {}
        self._rates: dict[str, Bucket] = {}

    def unreserved(self, *, without: str | None = None) -> int:
        """Return the concurrency that no function has reserved, `without` one of them."""
        taken = sum(share for name, share in self._reserved.items() if name != without)
        return self._limits.concurrency - taken

    def reserve(self, name: str, concurrency: int | None) -> None:
        """Set a share aside for a function, or give it back."""
        self._reserved.pop(name, None)
        if concurrency is not None:
            self._reserved[name] = concurrency

    def enter(self, function: Function, now: float) -> str | None:
        """Let an invocation run, or return the reason why not. `now` is in seconds."""
        name = function.name
        reserved = self._reserved.get(name)
        if reserved is not None:
            share = reserved
            if self._running[name] >= share:
                return RESERVED_CONCURRENCY
        else:
            share = self.unreserved()
            if (
                self._tally.counters.running - sum(self._running[each] for each in self._reserved)
                >= share
            ):
                return CONCURRENCY
        rate = self._limits.requests_per_environment
        if rate is not None:
            allowed = rate * share
            if not self._rates.setdefault(name, Bucket(allowed, allowed, now)).take(now):
                return RATE if reserved is None else RESERVED_RATE
        if not function.warm:
            size = self._limits.environments_at_once
            refill = self._limits.environments_per_10_seconds / 10
            if not self._ramps.setdefault(name, Bucket(size, refill, now)).take(now):
                return CONCURRENCY
        self._running[name] += 1
        counters = self._tally.counters
        counters.running += 1
        counters.peak = max(counters.peak, counters.running)
        self._tally.changed()
        return None

    def leave(self, function: Function) -> None:
        """Take note that an invocation has ended."""
        self._running[function.name] -= 1
        self._tally.counters.running -= 1
        self._tally.changed()
