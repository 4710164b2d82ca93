"""What is going to happen, by time.

The service has thousands of things under way. A heap of tuples, compared in C, which the loop asks
whenever nothing is ready, costs a small part of a timer for each.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._loop import VirtualLoop


class Agenda:
    """Runs callbacks at their times, in the order they were asked for where those are equal.

    Args:
        loop: whose time it is; it runs what is due.
        on_empty: told when nothing is left.
    """

    def __init__(self, loop: VirtualLoop, on_empty: Callable[[], None]) -> None:
        self.loop = loop
        self._on_empty = on_empty
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = 0
        loop.agenda = self

    def __len__(self) -> int:
        return len(self._events)

    @property
    def due(self) -> float:
        """When the next thing happens; infinity if nothing does."""
        return self._events[0][0] if self._events else inf

    def after(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        """Call back after so many seconds."""
        self._number += 1
        heappush(self._events, (self.loop.time() + seconds, self._number, callback, args))

    def run(self, now: float) -> None:
        """Do what is due."""
        events = self._events
        while events and events[0][0] <= now:
            _, _, callback, args = heappop(events)
            try:
                callback(*args)
            except Exception as error:  # noqa: BLE001 - as a loop does with its callbacks
                what = f"a simulated event failed: {callback!r}"
                self.loop.call_exception_handler({"message": what, "exception": error})
        if not events:
            self._on_empty()
