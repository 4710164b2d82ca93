"""What workers tell of running invocations, as the driver is to be told it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asyncfabric_runtime._progress import Report

    from ._protocol import Receiver


class Heard:
    """What was heard of one invocation. Workers' times count from the begin of a call.

    A report takes some time to become known, so when a call began is known only nearly. How fast
    it is does not depend on that: its times are taken from one clock, the worker's.

    Args:
        together: its calls run side by side.
        launched: when it was launched, in seconds of the loop's clock: no call began before.
    """

    __slots__ = ("_began", "_launched", "_position", "_together", "_told")

    def __init__(self, *, together: bool, launched: float = 0.0) -> None:
        self._launched = launched
        self._together = together
        self._position: int | None = None
        self._began = launched
        self._told = -1.0

    def tell(self, receiver: Receiver, flight: int, report: Report, now: float) -> None:
        """Pass on what is new in a report."""
        position, marks = report.position, report.marks
        if position != self._position:
            first = self._position is None
            self._position, self._told = position, -1.0
            self._began = max(self._launched, now - report.seconds)
            if first and (self._together or not position):
                receiver.on_began(flight, self._began)
        for mark in marks:
            if mark.seconds > self._told:
                self._told = mark.seconds
                at = min(now, self._began + mark.seconds)
                receiver.on_progress(flight, position, mark.fraction, at)
