"""What calls tell of their progress, on its way to the driver."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._invocation import Invocation

INTERVAL_SECONDS = 0.1
"""A local worker tells of an invocation no more often; what was told in between is not sent."""


class Mark(NamedTuple):
    """A call has told how far it is."""

    seconds: float
    """After the call began."""
    fraction: float


class Report(NamedTuple):
    """What an invocation is at: a running call, and what it has told of its progress."""

    position: int
    seconds: float
    """For how long it has been running."""
    marks: tuple[Mark, ...] = ()
    """What it told first and what it told last, which is one mark where it has told once."""

    def to_wire(self) -> tuple[int, float, list[tuple[float, float]]]:
        """Return it as plain data."""
        return self.position, self.seconds, [(mark.seconds, mark.fraction) for mark in self.marks]

    @classmethod
    def from_wire(cls, wire: tuple[int, float, list[tuple[float, float]]]) -> Report:
        """Read what `to_wire` wrote."""
        position, seconds, marks = wire
        return cls(position, seconds, tuple(Mark(*mark) for mark in marks))


class Progress:
    """What the running calls of an invocation have told."""

    __slots__ = ("_invocation", "_marks")

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        # Pairs of seconds and fraction, the first and the last: made for each word of a call.
        self._marks: dict[int, tuple[tuple[float, float], tuple[float, float]]] = {}

    def note(self, position: int, fraction: float) -> None:
        """Take a call's word, from any thread. Raises `ValueError` if that goes back."""
        marks = self._marks.get(position)
        mark = perf_counter() - self._invocation.since, fraction
        if marks is None:
            if not self._invocation.plan.is_async:
                self._marks.clear()  # the calls before are over
            self._marks[position] = mark, mark
            return
        first, before = marks
        if fraction < before[1]:
            msg = (
                f"progress({fraction}) goes back: the call was at {before[1]} before; give "
                "the share of all its work that is done, not of one of its steps"
            )
            raise ValueError(msg)
        self._marks[position] = first, mark

    def report(self) -> Report | None:
        """Return how the call gets on that is behind the others; None if none has told anything.

        Of calls that run side by side, the one that has done least will probably end last.
        """
        running = [
            (marks[1][1], position, marks)
            for position, marks in list(self._marks.items())
            if self._invocation.runs(position)
        ]
        if not running:
            return None
        _, position, (first, last) = min(running)
        seconds = perf_counter() - self._invocation.since
        told = (first,) if first is last else (first, last)
        return Report(position, seconds, tuple(Mark(*mark) for mark in told))


class Sender:
    """Sends the reports of an invocation, where that costs little: not too many.

    Args:
        invocation: whose calls they are of.
        send: given a report.
    """

    __slots__ = ("_invocation", "_send", "_sent")

    def __init__(self, invocation: Invocation, send: Callable[[Report], None]) -> None:
        self._invocation = invocation
        self._send = send
        self._sent = 0.0

    def __call__(self, position: int, fraction: float) -> None:  # noqa: ARG002 - `Progress` has them
        """Send a report, unless one was sent just now or the call has only begun."""
        now = perf_counter()
        if now - max(self._sent, self._invocation.since) < INTERVAL_SECONDS:
            return
        report = None if self._invocation.progress is None else self._invocation.progress.report()
        if report is not None:
            self._sent = now
            self._send(report)
