"""A worker as the driver sees it: what is on it, what it knows, whether it gets on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from asyncfabric.backends._heard import Heard
from asyncfabric_runtime import Outcome
from asyncfabric_runtime._invocation import LOADING
from asyncfabric_runtime._progress import Report
from asyncfabric_runtime._steps import WAITING
from asyncfabric_runtime._wire import (
    HELLO,
    OUTCOME,
    PROGRESS,
    READY,
    RECALL,
    RETURNED,
    WireError,
    load_head,
    pack,
)

from ._channel import Channel

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Collection

    from asyncfabric_runtime import Envelope

    from ._process import WorkerProcess

TASKS = 128
"""Coroutine calls on one worker at most, about."""
SOON = 0.005
"""A worker is given its next invocation when the present one should end within so many seconds."""
TIMEOUT_GRACE = 1.0
"""How many seconds past its timeout a call may hang before the driver kills the worker itself."""


_SENSELESS = "a worker tells what makes no sense; a call of it may have written to its socket"


class Load:
    """An invocation on a worker."""

    __slots__ = (
        "cancelled",
        "heard",
        "is_async",
        "left",
        "number",
        "recalled",
        "seconds",
        "timeout",
    )

    def __init__(self, envelope: Envelope, seconds: float | None, number: int) -> None:
        self.number = number  # how many the worker was sent before it, and one
        self.heard: Heard | None = None
        self.left = len(envelope.indices)
        self.is_async = envelope.plan.is_async
        self.timeout = envelope.plan.timeout
        self.seconds = seconds
        self.recalled = False
        self.cancelled: set[int] | None = set()
        """Which calls nobody waits for any more, of those not answered; None for all."""

    @property
    def is_for_nobody(self) -> bool:
        """Whether nobody waits for any call of it."""
        return self.cancelled is None or len(self.cancelled) >= self.left


class Pool(Protocol):
    """Whom a worker tells what it hears; see `LocalBackend`."""

    def on_ready(self) -> None:
        """Know that a worker has started."""
        ...

    def on_outcome(self, worker: Worker, outcome: Outcome, size: int) -> None:
        """Take answers in."""
        ...

    def on_returned(self, flight: int, positions: list[int] | None) -> None:
        """Take back calls that did not run."""
        ...

    def on_report(self, heard: Heard, flight: int, report: Report) -> None:
        """Know what an invocation is at."""
        ...


class Worker:
    """One worker process and the invocations on it."""

    def __init__(self, pool: Pool, process: WorkerProcess, loop: asyncio.AbstractEventLoop) -> None:
        self.process = process
        self.name: str = f"process {process.pid}"
        self.ready: bool = False
        self.stalled: bool = False
        self.dismissed: bool = False
        self.timed_out: float | None = None
        self.answers: int = 0
        self.answers_seen: int = 0
        self.answered_at: float = 0.0
        self.loads: dict[int, Load] = {}
        self.known: set[str] = set()
        self._pool = pool
        self._loop = loop
        self._sent = 0
        self._seen = (0, 0.0)
        self._path: list[str] = []
        self._channel = Channel(loop, process.work, self._on_frame, self._on_end)
        self._share_path()

    @property
    def free(self) -> bool:
        """Whether it has nothing to do."""
        return not self.loads and self.ready and not self.stalled

    # -- what it can take -----------------------------------------------------------------------

    def room(self, *, is_async: bool) -> bool:
        """Tell whether another invocation may be sent."""
        if not self.ready or self.stalled:
            return False
        loads = self.loads
        if not loads:
            return True
        if is_async:
            return all(load.is_async for load in loads.values()) and self.calls < TASKS
        if len(loads) > 1:
            return False
        (load,) = loads.values()
        return not load.is_async and load.seconds is not None and load.seconds <= SOON

    @property
    def calls(self) -> int:
        """Calls on the worker that are not answered."""
        return sum(load.left for load in self.loads.values())

    # -- sending --------------------------------------------------------------------------------

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        """Send an invocation, with the code that the worker hasn't had yet."""
        if not code.keys() <= self.known:
            for name in code.keys() - self.known:
                self.known.add(name)
                envelope.attachments[name] = code[name]
            self._share_path()
        if not self.loads:
            self.answered_at = self._loop.time()
        self._sent += 1
        self.loads[envelope.flight] = Load(envelope, seconds, self._sent)
        self._channel.send(envelope.to_frame())

    def _share_path(self) -> None:
        """Give the worker the driver's present sys.path: code imports from it."""
        path = list(sys.path)
        if path != self._path:
            self._path = path
            self._channel.send(pack(HELLO, (path,)))

    def recall(self, flight: int, positions: Collection[int] | None, *, stop: bool) -> None:
        """Ask for the calls that have not begun."""
        chosen = None if positions is None else list(positions)
        (frame,) = pack(RECALL, (flight, self.loads[flight].number, stop, chosen))
        try:
            self.process.control.send(frame)
        except OSError:
            return  # it is dead, or so far behind that there is nothing to be had from it

    # -- receiving ------------------------------------------------------------------------------

    def _on_frame(self, kind: int, segments: list[memoryview], size: int) -> None:
        if kind == OUTCOME:
            self._on_outcome(Outcome.from_segments(segments), size)
        elif kind == RETURNED:
            flight, told = _pair(segments[0])
            positions = None if told is None else _positions(told)
            load = self.loads.get(flight)
            if load is not None:
                load.left -= load.left if positions is None else len(positions)
                if load.cancelled and positions is not None:
                    load.cancelled.difference_update(positions)
                if positions is None:
                    del self.loads[flight]
            if not self.loads:
                self.stalled = False  # all was taken back: no answer will come to say so
            self._pool.on_returned(flight, positions)
        elif kind == PROGRESS:
            flight, wire = _pair(segments[0])
            self._on_report(flight, _report(wire))
        elif kind == READY:
            self.ready = True
            self._pool.on_ready()

    def _on_outcome(self, outcome: Outcome, size: int) -> None:
        load = self.loads.get(outcome.flight)
        self.answers += 1
        self.answered_at = self._loop.time()
        self.stalled = False
        self.known.difference_update(outcome.lacks)
        if load is not None:
            load.left -= outcome.answered
            if load.cancelled:
                load.cancelled.difference_update(
                    outcome.positions, outcome.failures, outcome.elsewhere
                )
            if outcome.final:
                del self.loads[outcome.flight]
        self._pool.on_outcome(self, outcome, size)

    def _on_report(self, flight: int, report: Report) -> None:
        load = self.loads.get(flight)
        if load is None:
            return  # it ended, and what it said last came later
        if load.heard is None:
            load.heard = Heard(together=load.is_async)
        self._pool.on_report(load.heard, flight, report)

    def _on_end(self) -> None:
        """The stream has ended: so has the worker, or it is of no use any more."""
        self.process.kill()

    def hear_out(self) -> None:
        """Read what a dead worker said last."""
        self._channel.drain()

    def running(self) -> tuple[int, int] | None:
        """Return the invocation and place of the call that the worker announced last.

        None where there is none, or where any of its coroutine calls may have been at work.
        """
        announced = self.process.page[0]
        position = announced & LOADING
        if announced < 0 or position == WAITING:
            return None
        # A crash while code is loaded is charged to the first call.
        return announced >> 32, 0 if position == LOADING else position

    def overdue(self, now: float) -> float | None:
        """Return the timeout that the worker has outlived without an answer, or None.

        It enforces timeouts itself, but can't while a call keeps the interpreter lock or, of a
        coroutine function, the event loop. Loading code and values doesn't count.
        """
        announced = self.process.page[0]
        if announced != self._seen[0]:
            self._seen = announced, now
        if announced & LOADING == LOADING:
            return None
        load = self.loads.get(announced >> 32)
        if load is not None and not load.is_async:
            timeout = load.timeout
        else:
            limits = [
                each.timeout
                for each in self.loads.values()
                if each.is_async and each.timeout is not None
            ]
            timeout = min(limits, default=None)
        since = max(self._seen[1], self.answered_at)
        return timeout if timeout is not None and now - since > timeout + TIMEOUT_GRACE else None

    def dismiss(self) -> None:
        """Kill the process on purpose: nobody waits for what it does."""
        self.dismissed = True
        self.process.kill()

    def close(self) -> None:
        """Hang up; the worker ends when it notices."""
        self._channel.close()
        self.process.control.close()


def _pair(head: memoryview) -> tuple[int, Any]:
    """Read a head of an invocation's number and something else. Raises `WireError`."""
    told = load_head(head)
    try:
        flight, other = told
    except (TypeError, ValueError):
        flight = other = None
    if type(flight) is int:
        return flight, other
    raise WireError(_SENSELESS)


def _positions(told: Any) -> list[int]:  # noqa: ANN401 - plain data
    """Read positions. Raises `WireError`."""
    if type(told) is list and {int}.issuperset(map(type, told)):  # pyright: ignore[reportUnknownArgumentType]
        return told  # pyright: ignore[reportUnknownVariableType]
    raise WireError(_SENSELESS)


def _report(wire: Any) -> Report:  # noqa: ANN401 - plain data
    """Read a report. Raises `WireError`."""
    try:
        report = Report.from_wire(wire)
        numbers = [
            report.position,
            report.seconds,
            *(each for mark in report.marks for each in mark),
        ]
        if type(report.position) is int and {int, float}.issuperset(map(type, numbers)):
            return report
    except (TypeError, ValueError):
        pass
    raise WireError(_SENSELESS)
