"""Which push this is: what makes a repeated one known.

A call's pushes to a parameter are numbered in the order in which it makes them. Another attempt at
the call makes the same ones and gives them the same numbers; Redis keeps the last number that it
applied for each call. A push that Redis refused, or that was never sent, takes no number.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

from asyncfabric_runtime._context import in_worker, running_slot

from ._errors import ParameterError


@dataclass(slots=True)
class Ticket:
    """What a push is known by: the same for each attempt at it, another one for any other push.

    Attributes:
        used: whether Redis may have applied it. It is when it was sent and not refused, whatever
            went wrong afterwards.
    """

    token: str
    number: int
    used: bool = False


class Turn:
    """A push's place among those of its call, from `begin` until it is over.

    A signal's handler, that of a timeout say, may raise in any call of a function, `__exit__`
    included. So this is no context manager: whoever makes the push holds it, calls `begin` within
    `try` and sets `over` in the `finally`, which nothing comes between. A turn that nobody holds
    any more is over as well.

    Attributes:
        over: whether the next push may begin.
    """

    __slots__ = ("__weakref__", "_counter", "_ticket", "over")

    def __init__(self, ticket: Ticket, counter: Counter | None = None) -> None:
        self.over: bool = False
        self._ticket = ticket
        self._counter = counter

    def begin(self) -> Ticket:
        """Number the push. Raises `ParameterError` while another one is under way."""
        if self._counter is not None:
            self._counter.begin(self, self._ticket)
        return self._ticket


class Counter:
    """The pushes of one attempt to one parameter. They go one after another."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._last = Ticket(token, 1)
        self._turn: ref[Turn] | None = None
        self._lock = threading.Lock()

    def turn(self) -> Turn:
        """Return the turn of a push that hasn't begun."""
        return Turn(Ticket(self._token, 0), self)

    def begin(self, turn: Turn, ticket: Ticket) -> None:
        """Number a push. Raises `ParameterError` while another one is under way."""
        with self._lock:
            under_way = None if self._turn is None else self._turn()
            if under_way is not None and not under_way.over:
                raise ParameterError(
                    "two of a call's pushes to one parameter are under way at once. Repeated, they "
                    "may come in another order, and couldn't be told apart: make them one after "
                    "another, or as one, or give each a token= that is the same in every attempt"
                )
            ticket.number = self._last.number + self._last.used
            self._last, self._turn = ticket, ref(turn)


_counters: WeakKeyDictionary[Any, dict[tuple[int, str, str], Counter]] = WeakKeyDictionary()
"""By the invocation that runs: an attempt is a position in it."""


def counter(server: str, what: str) -> Counter | None:
    """Return the counter of the attempt that this code runs in; None outside one.

    `what` is the kind of operation and its parameter. Raises `ParameterError` in a worker's thread
    of which nobody knows what call it belongs to.
    """
    slot = running_slot()
    if slot is None:
        if in_worker():
            raise ParameterError(
                "a thread that a call started can't be told from another call's, so that a "
                "repeated call would be applied twice: give token=, the same in every attempt, or "
                "push in the call's own thread"
            )
        return None
    of_invocation = _counters.setdefault(slot.invocation, {})
    key = slot.position, server, what
    found = of_invocation.get(key)
    if found is None:
        call = slot.invocation.context(slot.position).token
        found = of_invocation[key] = Counter(f"{call} {what}")
    return found


def single(token: str | None, what: str) -> Ticket:
    """Return the ticket of a push outside a call, or of one with a token of the user's own."""
    if token is None:
        return Ticket(secrets.token_hex(12), 1)
    if not isinstance(token, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"token= is a text, not {token!r}"
        raise TypeError(msg)
    return Ticket(f"= {what} {token}", 1)
