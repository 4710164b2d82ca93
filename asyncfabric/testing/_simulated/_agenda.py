"""What is going to happen, by time.

The service has thousands of things under way. A heap of tuples, compared in C, with a single timer
of the loop, costs a third of a timer for each.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Agenda:
    """Runs callbacks at their times, in the order they were asked for where those are equal."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_empty: Callable[[], None]) -> None:
        self.loop = loop
        self._on_empty = on_empty
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def __len__(self) -> int:
        return len(self._events)

    def after(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        """Call back after so many seconds."""
        due = self.loop.time() + seconds
        self._number += 1
        heappush(self._events, (due, self._number, callback, args))
        if self._timer is None or due < self._due:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = self._events[0][0]
        self._timer = self.loop.call_at(self._due, self._run)

    def _run(self) -> None:
        self._timer = None
        events = self._events
        now = self.loop.time()
        while events and events[0][0] <= now:
            _, _, callback, args = heappop(events)
            callback(*args)
        if not events:
            self._on_empty()
        elif self._timer is None:
            self._arm()
