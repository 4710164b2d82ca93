"""The timeout of plain functions where the process is not ours to end: an exception in the call.

On Lambda a worker must answer through the handler, with the results of the calls before, so the
call itself is ended: SIGALRM raises `AttemptExpired` in it. User code that catches even that, or
that is stuck in foreign code, is given `GRACE_SECONDS` more; then the process ends, and with it the
billing. For the case that no Python code gets to run at all, `Alarm.guard` has the interpreter's
fault handler, a thread that needs no interpreter, end the process.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from time import perf_counter
from typing import TYPE_CHECKING

from ._limit import AttemptExpired

if TYPE_CHECKING:
    from types import FrameType

GRACE_SECONDS = 1.0
"""How long a call may go on after its time was up."""

EXPIRED_STATUS = 75
"""Exit status of a process that ended itself because a call could not be ended."""

_LEAST_SECONDS = 1e-4


class Alarm:
    """Keeps the time limit of the calls that the main thread runs, one at a time.

    Args:
        timeout: seconds a call may run; None for as long as the invocation has.
        until: when, in `perf_counter`'s seconds, the invocation must be answered.
    """

    def __init__(self, timeout: float | None, until: float) -> None:
        self._timeout = timeout
        self._until = until
        self._begun = 0
        self._seconds = 0.0
        self._running = self._expired = False
        signal.signal(signal.SIGALRM, self._ring)

    def begin(self, position: int, started: float) -> bool:  # noqa: ARG002 - as `Limit` has it
        """Set the alarm. A call that might not be finished in time is not begun, but for the first.

        Its driver sends it again, to a worker with all its time left.
        """
        left = self._until - started
        if self._begun and left < (self._timeout or left / 2):
            return False
        self._begun += 1
        self._seconds = left if self._timeout is None else min(left, self._timeout)
        self._expired = False
        self._running = True
        signal.setitimer(signal.ITIMER_REAL, max(self._seconds, _LEAST_SECONDS))
        return True

    def end(self) -> float | None:
        """Switch the alarm off; return the limit if it had rung."""
        self._running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        return self._seconds if self._expired else None

    def _ring(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if not self._running:
            return  # the call ended while the signal was on its way
        if self._expired:
            os.write(2, b"asyncfabric: a call went on after its timeout; the worker ends\n")
            os._exit(EXPIRED_STATUS)
        self._expired = True
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
        raise AttemptExpired

    def guard(self, calls: int) -> None:
        """Have the process ended should no Python code run any more when all must be over."""
        seconds = self._until - perf_counter()
        if self._timeout is not None:
            seconds = min(seconds, calls * self._timeout)
        faulthandler.dump_traceback_later(max(seconds, 0) + 2 * GRACE_SECONDS, exit=True)

    def dismiss(self) -> None:
        """Be done with the invocation."""
        self.end()
        faulthandler.cancel_dump_traceback_later()
