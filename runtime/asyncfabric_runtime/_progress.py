"""What calls say of their progress, on its way to the driver."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_SECONDS = 0.1
"""A call's reports are sent at most so often; those in between are dropped."""


class Progress:
    """Sends the reports of one invocation's calls, not too many, and none that goes back.

    Args:
        send: given a call's position and the share of its work that is done.
    """

    def __init__(self, send: Callable[[int, float], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._last: dict[int, tuple[float, float]] = {}

    def __call__(self, position: int, fraction: float) -> None:
        """Take a report, from any thread."""
        now = monotonic()
        with self._lock:
            since, before = self._last.get(position, (now - INTERVAL_SECONDS, -1.0))
            if now - since < INTERVAL_SECONDS or fraction <= before:
                return
            self._last[position] = now, fraction
        self._send(position, fraction)
