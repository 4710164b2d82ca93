"""The timeout of plain functions: a thread that ends the process when a call outlives it.

A plain function can't be interrupted from outside without its cooperation, so the call's answer is
sent on its behalf, with the stack it hangs in, what is queued behind it goes back, and the process
ends; the driver replaces it.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from time import perf_counter, sleep
from typing import TYPE_CHECKING

from ._failure import timed_out
from ._limit import Claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._invocation import Invocation
    from ._outcome import Outcome

_STEP = 0.002

RETIRED = 75
"""Exit status of a worker that ended itself after a timeout."""


class Watchdog:
    """Watches the invocations with a timeout that a worker's main thread runs."""

    def __init__(
        self, answer: Callable[[Outcome], None], give_back: Callable[[Invocation], None]
    ) -> None:
        self._answer = answer
        self._give_back = give_back
        self._busy = threading.Event()
        self._invocation: Invocation | None = None
        self.claims = Claims()
        """The limit of the invocations that are watched."""
        self._main = threading.main_thread().ident
        threading.Thread(target=self._watch, name="asyncfabric-watchdog", daemon=True).start()

    def watch(self, invocation: Invocation) -> None:
        """Begin to watch what the main thread is about to run."""
        invocation.limit = self.claims
        self._invocation = invocation
        self._busy.set()

    def rest(self) -> None:
        """Stop watching."""
        self._busy.clear()
        self._invocation = None

    def _watch(self) -> None:
        tokens = self.claims.tokens
        while True:
            self._busy.wait()
            invocation = self._invocation
            if invocation is None or invocation.plan.timeout is None:
                sleep(_STEP)
                continue
            timeout = invocation.plan.timeout
            try:
                token = tokens[0]
            except IndexError:
                sleep(_STEP)  # between two calls
                continue
            left = token[1] + timeout - perf_counter()
            if left > 0:
                # Short steps, since the next call of the invocation starts its time anew.
                sleep(min(max(left, _STEP), timeout / 4, 0.05))
                continue
            try:
                tokens.remove(token)
            except (ValueError, IndexError):
                continue  # the call ended this very moment, and answers for itself
            self._end(invocation, token[0], timeout)

    def _end(self, invocation: Invocation, position: int, timeout: float) -> None:
        frame = sys._current_frames().get(self._main or 0)  # noqa: SLF001 - the documented way
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        failure = timed_out(timeout, f"The attempt was ended here:\n{stack}")
        try:
            self._give_back(invocation)
            self._answer(invocation.answer_for(position, failure))
        finally:
            os._exit(RETIRED)
