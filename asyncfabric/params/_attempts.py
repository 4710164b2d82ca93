"""Which push this is: what makes a repeated one known.

A call's pushes to a parameter are numbered in the order in which it makes them. Another attempt at
the call makes the same ones and gives them the same numbers; Redis keeps the last number that it
applied for each call. A push that was refused for good takes no number.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from asyncfabric_runtime._context import running_slot

from ._errors import ParameterError, ServerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a push is known by: the same for each attempt at it, another one for any other push."""

    token: str
    number: int


class Counter:
    """The pushes of one attempt to one parameter. They go one after another."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._last = 0
        self._lock = threading.Lock()
        self._async_lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Ticket]:
        """Wait for the pushes before this one, then number it."""
        async with self._async_lock:
            with self._numbered() as ticket:
                yield ticket

    @contextmanager
    def blocking_turn(self) -> Generator[Ticket]:
        """Do the same for threads."""
        with self._lock, self._numbered() as ticket:
            yield ticket

    @contextmanager
    def _numbered(self) -> Generator[Ticket]:
        number = self._last + 1
        try:
            yield Ticket(self._token, number)
        except ServerUnreachable:
            self._last = number  # it may have been applied
            raise
        except (ParameterError, LookupError, TypeError, ValueError):
            raise  # refused: the next push is this one, tried again
        except BaseException:
            self._last = number
            raise
        self._last = number


_counters: WeakKeyDictionary[Any, dict[tuple[int, str, str], Counter]] = WeakKeyDictionary()
"""By the invocation that runs: an attempt is a position in it."""


def counter(server: str, name: str) -> Counter | None:
    """Return the counter of the attempt that this code runs in; None outside one."""
    slot = running_slot()
    if slot is None:
        return None
    of_invocation = _counters.setdefault(slot.invocation, {})
    key = slot.position, server, name
    found = of_invocation.get(key)
    if found is None:
        call = slot.invocation.context(slot.position).token
        found = of_invocation[key] = Counter(f"{call} {name}")
    return found


def single(token: str | None) -> Ticket:
    """Return the ticket of a push outside a call, or of one with a token of the user's own."""
    return Ticket(secrets.token_hex(12) if token is None else f"= {token}", 1)
