"""How a call's time limit is kept: the part that the invocation sees."""

from __future__ import annotations

from collections import deque
from time import sleep
from typing import Protocol


class AttemptExpired(BaseException):
    """Raised inside a plain function whose time is up, where a door can do that.

    Not an `Exception`, so that user code that catches those lets it through.
    """


class Limit(Protocol):
    """Watches the calls of an invocation of a plain function."""

    def begin(self, position: int, started: float) -> bool:
        """Know that a call begins, at a time of `perf_counter`; tell whether it may."""
        ...

    def end(self) -> float | None:
        """Know that it has ended; return the limit in seconds if it came too late for it."""
        ...


class Claims:
    """One token (position, start) while a call runs: whoever takes it out answers the call.

    The other side is a thread, the `Watchdog`, which ends the process after its answer.
    """

    __slots__ = ("tokens",)

    def __init__(self) -> None:
        self.tokens: deque[tuple[int, float]] = deque()

    def begin(self, position: int, started: float) -> bool:
        """Lay the token out."""
        self.tokens.append((position, started))
        return True

    def end(self) -> float | None:
        """Win the right to answer the call that just ended, or wait for the process's end."""
        try:
            self.tokens.pop()
        except IndexError:
            while True:
                sleep(60)
        return None
