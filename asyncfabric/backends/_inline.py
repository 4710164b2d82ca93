"""The inline backend: the same envelope, executed in this process, for debugging.

Plain functions run in the event loop's own thread, so a breakpoint in one stops everything else,
which is what one wants under a debugger; coroutine functions run as tasks of the driver's loop.
Timeouts can't interrupt a plain function here, and a crash is the driver's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from asyncfabric_runtime._capture import Tee
from asyncfabric_runtime._context import running_transcript
from asyncfabric_runtime._invocation import Invocation
from asyncfabric_runtime._process import Process

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from asyncfabric_runtime import Envelope, Outcome, Plan

    from ._protocol import Receiver

_TASKS = 128
"""Invocations of coroutine functions that run at once."""


class InlineBackend:
    """Runs invocations in the driver's own process and loop."""

    lanes = 1
    separate = False

    def __init__(self) -> None:
        self._process = Process()
        self._receiver: Receiver | None = None
        self._running: dict[int, tuple[Invocation, asyncio.Task[None]]] = {}

    def open(self, receiver: Receiver) -> None:
        """Begin; there is room at once."""
        self._receiver = receiver
        asyncio.get_running_loop().call_soon(receiver.on_room)

    def room(self, plan: Plan) -> int:
        """Return room for one plain invocation, or for many of a coroutine function."""
        return max(0, (_TASKS if plan.is_async else 1) - len(self._running))

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:  # noqa: ARG002
        """Run an invocation in a task of its own."""
        envelope.attachments = dict(code)
        # What a worker gets out of a frame's segments are views; so it is here.
        envelope.segments = [memoryview(segment) for segment in envelope.segments]
        invocation = Invocation(envelope, self._process)
        task = asyncio.ensure_future(self._run(invocation))
        self._running[envelope.flight] = (invocation, task)

    async def _run(self, invocation: Invocation) -> None:
        try:
            with _captured():
                await invocation.run_here(self._tell)
        finally:
            self._running.pop(invocation.envelope.flight, None)
            if not self._running:
                self._process.enter_environment(None)
            if self._receiver is not None:
                self._receiver.on_room()

    def _tell(self, outcome: Outcome) -> None:
        if self._receiver is not None:
            size = sum(memoryview(segment).nbytes for segment in outcome.segments)
            self._receiver.on_outcome(outcome, f"inline {os.getpid()}", size)

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back what has not begun; cancel coroutine calls that have."""
        entry = self._running.get(flight)
        if entry is None or self._receiver is None:
            return
        invocation, _ = entry
        taken = invocation.recall()
        invocation.cancel_tasks(positions)
        if taken:
            self._receiver.on_returned(flight, taken)

    def kill(self) -> None:
        """Do nothing: there is no process to be stopped."""

    async def aclose(self) -> None:
        """Cancel what runs and wait for its end."""
        self._receiver = None
        tasks = [task for _, task in self._running.values()]
        for invocation, _ in list(self._running.values()):
            invocation.recall()
            invocation.cancel_tasks(None)
        if tasks:
            await asyncio.wait(tasks)


@contextlib.contextmanager
def _captured() -> Iterator[None]:
    """Put the capturing streams in place for as long as an invocation runs.

    They pass everything through, `isatty` and `fileno` included, so that a debugger works.
    """
    before = sys.stdout, sys.stderr
    if isinstance(sys.stdout, Tee):  # another invocation has done it, and undoes it later
        yield
        return
    sys.stdout = Tee(sys.stdout, running_transcript)  # type: ignore[assignment] # a text stream
    sys.stderr = Tee(sys.stderr, running_transcript)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
