"""The timeout of plain functions where the process is not ours to end: an exception in the call.

On Lambda a worker must answer through the handler, with the results of the calls before, so the
call itself is ended: SIGALRM raises `AttemptExpired` in it. User code that catches even that, or
that is stuck in foreign code, is given `GRACE_SECONDS` more; then the process ends, and with it the
billing. For the case that no Python code gets to run at all, the interpreter's fault handler, a
thread that needs no interpreter, ends the process a little later. The driver knows the one by the
exit status, the other by the `Timeout` that the fault handler writes to the log.
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
_SLACK_SECONDS = 1.0
"""The fault handler is set so much later: setting it anew for every short call is not worth it."""


class Alarm:
    """Keeps the time limit of the calls of an invocation.

    Plain functions run one at a time in the main thread, and are ended one by one (`begin`, `end`).
    Of coroutine functions only those are seen to that hold up the loop, which keeps the limit of
    the others (`begin_together`).

    Args:
        timeout: seconds a call may run; None for as long as the invocation has.
        until: when, in `perf_counter`'s seconds, the invocation must be answered.
    """

    def __init__(self, timeout: float | None, until: float) -> None:
        self._timeout = timeout
        self._until = until
        self._begun = 0
        self._seconds = self._longest = self._started = 0.0
        self._running = self._expired = False
        signal.signal(signal.SIGALRM, self._ring)
        self._guarded = 0.0
        self._guard(until)  # code is imported before any call begins: that, too, may hang

    def begin(self, position: int, started: float) -> bool:  # noqa: ARG002 - as `Limit` has it
        """Set the alarm. A call that might not be finished in time is not begun, but for the first.

        Its driver sends it again, to a worker with all its time left.
        """
        left = self._until - started
        if self._begun:
            self._longest = max(self._longest, started - self._started)
            # Without a timeout, the other calls tell how long this one may take.
            if left < (2 * self._longest if self._timeout is None else self._timeout):
                return False
        self._begun += 1
        self._started = started
        self._seconds = left if self._timeout is None else min(left, self._timeout)
        self._guard(started + self._seconds)
        self._expired = False
        self._running = True
        signal.setitimer(signal.ITIMER_REAL, max(self._seconds, _LEAST_SECONDS))
        return True

    def begin_together(self, started: float) -> None:
        """Know that the calls of a coroutine function begin, all at a time."""
        left = self._until - started
        self._guard(started + (left if self._timeout is None else min(left, self._timeout)))

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

    def _guard(self, ends: float) -> None:
        """Have the process ended, should no Python code run when a call has to be over."""
        least = ends + 2 * GRACE_SECONDS
        if not least <= self._guarded <= least + _SLACK_SECONDS:
            self._guarded = least + _SLACK_SECONDS
            seconds = min(self._guarded, self._until + 1.5 * GRACE_SECONDS) - perf_counter()
            faulthandler.dump_traceback_later(max(seconds, _LEAST_SECONDS), exit=True)

    def dismiss(self) -> None:
        """Be done with the invocation."""
        self.end()
        faulthandler.cancel_dump_traceback_later()
