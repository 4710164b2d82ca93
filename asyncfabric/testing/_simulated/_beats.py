"""Workers' heartbeats: written to the store so often at most, and found there by the driver."""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Protocol

from asyncfabric_runtime._progress import Mark, Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from asyncfabric_runtime._invocation import Invocation

    from ._agenda import Agenda
    from ._meter import Meter
    from ._profile import Profile

_LOOKS = 2
"""So often the driver looks between two heartbeats."""


class State(Protocol):
    """What the calls of an invocation have told."""

    def report(self, seconds: float) -> Report | None:
        """Return what is to be told, so long after the invocation's begin."""
        ...


class Foreseen:
    """What plain calls tell in their time: it is known at their begin, when they are run."""

    __slots__ = ("_began", "_events", "_marks", "_place", "_position")

    def __init__(self, meter: Meter) -> None:
        events: list[tuple[float, bool, int, float]] = []
        began = 0.0
        for position, taken in meter.seconds.items():
            events.append((began, True, position, 0.0))
            began += taken
        events += [(moment, False, position, part) for moment, position, part in meter.marks]
        # What is told at the end of a call comes before the begin of the next.
        self._events = sorted(events)
        self._place = 0
        self._position: int | None = None
        self._began = 0.0
        self._marks: tuple[Mark, ...] = ()

    def report(self, seconds: float) -> Report | None:
        """Return what is to be told; to be asked in the order of time."""
        events = self._events
        while self._place < len(events) and events[self._place][0] <= seconds:
            moment, begins, position, fraction = events[self._place]
            self._place += 1
            if position != self._position:
                self._position, self._began, self._marks = position, moment, ()
            if not begins:
                self._marks = (*self._marks[:1], Mark(moment - self._began, fraction))
        if self._position is None:
            return None
        return Report(self._position, seconds - self._began, self._marks)


class Live:
    """What coroutine calls tell while the clock runs."""

    __slots__ = ("_invocation", "_marks", "_now")

    def __init__(self, invocation: Invocation, now: Callable[[], float]) -> None:
        self._invocation = invocation
        self._now = now
        self._marks: dict[int, tuple[Mark, ...]] = {}

    def mark(self, position: int, fraction: float) -> None:
        """Note that a call is so far, now."""
        marks = self._marks.get(position, ())
        self._marks[position] = (*marks[:1], Mark(self._now(), fraction))

    def report(self, seconds: float) -> Report | None:
        """Return how the call gets on that is behind the others."""
        invocation = self._invocation
        running = filter(invocation.runs, range(len(invocation.envelope.indices)))
        told = [
            (marks[-1].fraction if marks else -1.0, position, marks)
            for position in running
            if (marks := self._marks.get(position, ())) or not self._marks
        ]
        if not told:
            return None
        _, position, marks = min(told)
        return Report(position, seconds, marks)


class Beats:
    """The heartbeats of one invocation, as a worker on Lambda writes them: if there is news.

    Args:
        agenda: what happens when.
        profile: how often they are written, and how long that takes.
        chance: for the latter.
        state: what there is to tell.
        count: told of each that is written.
        arrive: given each that the driver finds.
        seconds: how long the invocation is known to take.
    """

    __slots__ = (
        "_agenda",
        "_arrive",
        "_began",
        "_chance",
        "_count",
        "_ends",
        "_profile",
        "_state",
        "_told",
        "over",
    )

    def __init__(
        self,
        agenda: Agenda,
        profile: Profile,
        chance: Random,
        state: State,
        count: Callable[[], None],
        arrive: Callable[[Report], None],
        seconds: float = inf,
    ) -> None:
        self.over = False
        """The invocation has ended: no more is written."""
        self._agenda = agenda
        self._profile = profile
        self._chance = chance
        self._state = state
        self._count = count
        self._arrive = arrive
        self._told: tuple[object, object] | None = None
        self._began = agenda.loop.time()
        self._ends = self._began + seconds
        self._wait()

    def _wait(self) -> None:
        interval = self._profile.heartbeat_seconds
        if self._agenda.loop.time() + interval < self._ends:
            self._agenda.after(interval, self._write)

    def _write(self) -> None:
        if self.over:
            return
        report = self._state.report(self._agenda.loop.time() - self._began)
        if report is None or (report.position, report.marks) == self._told:
            self._wait()
        else:
            self._count()
            self._agenda.after(self._profile.store.write.draw(self._chance), self._written, report)

    def _written(self, report: Report) -> None:
        if self.over:
            return
        self._told = report.position, report.marks
        now, between = self._agenda.loop.time(), self._profile.heartbeat_seconds / _LOOKS
        look = ceil(now / between) * between
        found = look - now + self._profile.store.read.draw(self._chance)
        self._agenda.after(found, self._arrive, report)
        self._wait()
