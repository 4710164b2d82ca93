"""When an attempt is worth another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ._sane import is_between, is_count, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how soon a call is tried again.

    A worker that dies (killed, crashed, out of memory) is tried again as a matter of course; what
    the function itself raises only when it is listed in `on`, and a timeout only where `on` lists
    `TimeoutError`. The wait before attempt n + 1 is drawn evenly from 0 to
    `min(cap, base * 2 ** (n - 1))` seconds: the "full jitter" of Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015.

        fabric.with_options(retry=Retry(attempts=5, on=(ConnectionError,)))

    Attributes:
        attempts: attempts a call may have in all, the first included.
        on: exception types of the function's own that are worth another attempt.
        base: the first wait is at most this many seconds.
        cap: no wait is longer, in seconds.
    """

    attempts: int = 3
    on: tuple[type[Exception], ...] = ()
    base: float = 0.1
    cap: float = 20.0

    def __post_init__(self) -> None:
        if not is_count(self.attempts, 1):
            wanted = "a whole number, the first attempt included; use 1 for no retry"
            refuse("Retry", "attempts", self.attempts, wanted)
        if not _are_exceptions(self.on):
            refuse("Retry", "on", self.on, "a tuple of exception types, such as (ConnectionError,)")
        for name in ("base", "cap"):
            if not is_between(getattr(self, name), 0.0):
                refuse("Retry", name, getattr(self, name), "seconds, 0 or more")

    def delay(self, attempt: int, chance: float) -> float:
        """Return the seconds to wait after a failed attempt; `chance` is drawn from [0, 1)."""
        return chance * min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))


def _are_exceptions(kinds: object) -> bool:
    if not isinstance(kinds, tuple):
        return False
    each = cast("tuple[object, ...]", kinds)
    return all(isinstance(kind, type) and issubclass(kind, Exception) for kind in each)
