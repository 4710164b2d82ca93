"""The inline backend: the same envelope, executed in this process, for debugging.

Plain functions run in the event loop's own thread, so a breakpoint in one stops everything else,
which is what one wants under a debugger; coroutine functions run as tasks of the driver's loop.
Timeouts can't interrupt a plain function here, and a crash is the driver's own.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

from asyncfabric_runtime._capture import Tee
from asyncfabric_runtime._context import running_transcript
from asyncfabric_runtime._invocation import Invocation
from asyncfabric_runtime._process import Process

from ._protocol import Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from asyncfabric_runtime import Envelope, Outcome, Plan
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

    from ._protocol import Receiver

_TASKS = 128
"""Invocations of coroutine functions that run at once."""


class InlineBackend:
    """Runs invocations in the driver's own process and loop."""

    lanes = 1
    traits = Traits(separate=False)

    def __init__(self) -> None:
        self._process = Process()
        self._receiver: Receiver | None = None
        self._running: dict[int, tuple[Invocation, asyncio.Task[None]]] = {}

    def open(self, receiver: Receiver, store: ObjectStore) -> None:  # noqa: ARG002
        """Begin; there is room at once."""
        self._receiver = receiver
        asyncio.get_running_loop().call_soon(receiver.on_room)

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:  # noqa: ARG002
        """Do nothing: all that is here is importable here."""
        return None

    async def warm(self, workers: int) -> None:
        """Do nothing: the worker is this process."""

    def room(self, plan: Plan) -> int:
        """Return room for one plain invocation beside many of coroutine functions."""
        running = [invocation.plan for invocation, _ in self._running.values()]
        if running and running[0].surroundings != plan.surroundings:
            return 0  # there is one environment for all that runs at a time
        alike = sum(each.is_async == plan.is_async for each in running)
        return max(0, (_TASKS if plan.is_async else 1) - alike)

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:  # noqa: ARG002
        """Run an invocation in a task of its own."""
        envelope.attachments = dict(code)
        # Copied, as on their way to a worker: the caller's arrays are not the function's to change.
        envelope.segments = _copies(envelope.segments)
        invocation = Invocation(envelope, self._process)
        task = asyncio.ensure_future(self._run(invocation))
        self._running[envelope.flight] = (invocation, task)

    async def _run(self, invocation: Invocation) -> None:
        try:
            with _capture:
                await invocation.run_here(self._tell)
        finally:
            self._running.pop(invocation.envelope.flight, None)
            if not self._running:
                self._process.enter_environment(None)
            if self._receiver is not None:
                self._receiver.on_room()

    def _tell(self, outcome: Outcome) -> None:
        outcome.segments = _copies(outcome.segments)
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


def _copies(segments: list[Buffer]) -> list[Buffer]:
    return [memoryview(bytearray(segment)) for segment in segments]


class _Capture:
    """Puts the capturing streams in place for as long as any invocation runs.

    They pass everything through, `isatty` and `fileno` included, so that a debugger works. A stream
    that user code puts in their place meanwhile stays.
    """

    def __init__(self) -> None:
        self._users = 0
        self._tees: dict[str, tuple[Any, Tee]] = {}

    def __enter__(self) -> None:
        self._users += 1
        if self._users == 1:
            for name in ("stdout", "stderr"):
                stream = getattr(sys, name)
                tee = Tee(stream, running_transcript)
                self._tees[name] = stream, tee
                setattr(sys, name, tee)

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0:
            for name, (stream, tee) in self._tees.items():
                if getattr(sys, name) is tee:
                    setattr(sys, name, stream)
            self._tees.clear()


_capture = _Capture()  # of the process: there is one sys.stdout for all backends
