"""A worker's reports of progress on their way to the driver."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from ._agenda import Agenda
    from ._profile import Profile


class Mark(NamedTuple):
    """A report of progress: which call, how far."""

    position: int
    fraction: float


class Beats:
    """Sends the newest report of an invocation, so often at most.

    Args:
        agenda: what happens when.
        profile: how often, and how long they are on their way.
        chance: for the latter.
        arrive: told of those that arrive.
    """

    __slots__ = ("_agenda", "_arrive", "_chance", "_last", "_newest", "_profile", "over")

    def __init__(
        self, agenda: Agenda, profile: Profile, chance: Random, arrive: Callable[[Mark], None]
    ) -> None:
        self.over = False
        """The invocation has ended: no more is sent."""
        self._agenda = agenda
        self._profile = profile
        self._chance = chance
        self._arrive = arrive
        self._last = -inf
        self._newest: Mark | None = None

    def mark(self, position: int, fraction: float) -> None:
        """Report, now, how far a call is."""
        if self.over:
            return
        waits, self._newest = self._newest is not None, Mark(position, fraction)
        if waits:
            return
        left = self._last + self._profile.heartbeat_seconds - self._agenda.loop.time()
        if left > 0:
            self._agenda.after(left, self._send)
        else:
            self._send()

    def _send(self) -> None:
        mark, self._newest = self._newest, None
        if mark is not None and not self.over:
            self._last = self._agenda.loop.time()
            self._agenda.after(self._profile.heartbeat.draw(self._chance), self._arrive, mark)
