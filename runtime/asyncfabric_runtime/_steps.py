"""Which coroutine call a worker is at: announced at each of its steps.

Coroutine calls share a process, and one that kills it must not take its neighbours' attempts along.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

WAITING = 0xFFFFFFFE
"""Announced while coroutine calls run and none of them is at a step."""


class Announced:
    """An awaitable that writes `mine` to `page[0]` for each of its steps, and `rest` after it."""

    __slots__ = ("_mine", "_page", "_rest", "_steps")

    def __init__(self, work: Awaitable[Any], page: Any, mine: int, rest: int) -> None:  # noqa: ANN401
        self._steps: Any = work.__await__()
        self._page = page
        self._mine = mine
        self._rest = rest

    def __await__(self) -> Announced:
        return self

    def __iter__(self) -> Announced:
        return self

    def __next__(self) -> Any:  # noqa: ANN401 - what the loop is to wait for
        self._page[0] = self._mine
        try:
            return next(self._steps)
        finally:
            self._page[0] = self._rest

    def send(self, value: Any) -> Any:  # noqa: ANN401
        """Go on with a value."""
        self._page[0] = self._mine
        try:
            return self._steps.send(value)
        finally:
            self._page[0] = self._rest

    def throw(self, *error: Any) -> Any:  # noqa: ANN401
        """Go on with an exception."""
        self._page[0] = self._mine
        try:
            return self._steps.throw(*error)
        finally:
            self._page[0] = self._rest

    def close(self) -> None:
        """End it early."""
        self._steps.close()
