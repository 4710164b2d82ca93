"""The local worker process: reads envelopes from a socket, runs them, writes outcomes.

The main thread runs the calls and reads the next frame only when it is free. A second thread waits
on a second socket for what can't wait until then: calls to be taken back or cancelled, and the end
of the driver, with which the worker ends at once.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import mmap
import os
import signal
import socket
import sys
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from ._capture import Tee
from ._context import become_worker, running_transcript
from ._envelope import PYTHON, Envelope
from ._invocation import Invocation
from ._named import served
from ._process import Process
from ._stream import FrameStream
from ._wire import HELLO, PROGRESS, READY, RECALL, RETURNED, load_head, pack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from asyncfabric_storage._buffers import Buffer

    from ._outcome import Outcome
    from ._progress import Report
    from ._watchdog import Watchdog

_IDLE = -1
_LONG_SECONDS = 0.01
"""When code and values have taken so long to load, the driver is told that the calls begin."""


def main(work_fd: int, control_fd: int, page_fd: int) -> None:
    """Serve a driver until it goes away. The descriptors are inherited from it."""
    # The terminal's Ctrl-C goes to the whole process group; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    worker = LocalWorker(
        FrameStream(socket.socket(fileno=work_fd)),
        FrameStream(socket.socket(fileno=control_fd)),
        memoryview(mmap.mmap(page_fd, mmap.PAGESIZE)).cast("q"),
    )
    os.close(page_fd)
    worker.serve()


class LocalWorker:
    """The loop of one worker process."""

    def __init__(self, work: FrameStream, control: FrameStream, page: memoryview) -> None:
        self._work = work
        self._control = control
        self._page = page
        self._process = Process()
        self._process.served = served()
        self._process.on_loaded = self._loaded
        self._active: dict[int, Invocation] = {}
        self._waiting: deque[Invocation] = deque()
        self._refused: set[int] = set()
        self._admitted = 0
        # Held while a flight becomes active or is refused: a recall may overtake its envelope.
        self._flights = threading.Lock()
        self._watchdog: Watchdog | None = None

    def serve(self) -> None:
        """Greet the driver, then run what it sends until it closes the socket."""
        self._page[0] = _IDLE
        become_worker()
        stdout: Any = sys.stdout
        if isinstance(stdout, io.TextIOWrapper):
            # A worker is ended without ceremony: what is printed must not wait in a buffer.
            stdout.reconfigure(line_buffering=True)
        # Logging needs nothing more: it finds its stream, last resort or configured by user code,
        # through sys.stderr.
        sys.stdout = Tee(sys.stdout, running_transcript)
        sys.stderr = Tee(sys.stderr, running_transcript)
        threading.Thread(target=self._obey, name="asyncfabric-control", daemon=True).start()
        with contextlib.suppress(OSError):  # the driver has gone already; reading tells the same
            self._work.send(pack(READY, (os.getpid(), PYTHON)))
        while True:
            if self._waiting:
                invocation = self._waiting.popleft()
            else:
                frame = self._work.receive()
                if frame is None:
                    return
                admitted = self._admit(*frame)
                if admitted is None:
                    continue
                invocation = admitted
            if invocation.plan.is_async:
                self._process.wait_for(self._serve_tasks(invocation))
            else:
                self._run(invocation)

    def _admit(self, kind: int, segments: list[memoryview]) -> Invocation | None:
        """Take a frame in; return the invocation it holds, unless that was recalled already."""
        if kind == HELLO:
            (sys.path[:],) = load_head(segments[0])
            return None
        envelope = Envelope.from_segments(segments)
        with self._flights:
            self._admitted += 1
            if envelope.flight in self._refused:
                self._refused.discard(envelope.flight)
                return None
            invocation = Invocation(envelope, self._process)
            self._active[envelope.flight] = invocation
        invocation.page = self._page
        invocation.carrier = self._carry
        return invocation

    def _carry(self, invocation: Invocation) -> Callable[[int, float], None]:
        from ._progress import Sender

        return Sender(invocation, partial(self._report, invocation.envelope.flight))

    def _loaded(self, invocation: Invocation) -> None:
        record = invocation.record
        if record.fetch + record.load > _LONG_SECONDS and invocation.pending:
            from ._progress import Report

            self._report(invocation.envelope.flight, Report(invocation.pending[0], 0.0))

    def _report(self, flight: int, report: Report) -> None:
        self._send(pack(PROGRESS, (flight, report.to_wire())))

    def _run(self, invocation: Invocation) -> None:
        if invocation.plan.timeout is None:
            final = invocation.run(self._answer)
        else:
            watchdog = self._watching()
            watchdog.watch(invocation)
            final = invocation.run(self._answer)
            watchdog.rest()
        self._close(invocation, final)

    def _watching(self) -> Watchdog:
        if self._watchdog is None:
            from ._watchdog import Watchdog

            self._watchdog = Watchdog(self._answer, self._give_back)
        return self._watchdog

    def _close(self, invocation: Invocation, final: Outcome) -> None:
        with self._flights:
            self._active.pop(invocation.envelope.flight, None)
        self._answer(final)
        if not self._active:
            self._page[0] = _IDLE

    def _answer(self, outcome: Outcome) -> None:
        self._send(outcome.to_frame())

    def _send(self, frame: list[Buffer]) -> None:
        try:
            self._work.send(frame)
        except OSError:
            os._exit(0)  # the driver has gone, and with it whoever wanted to know

    # -- coroutine functions --------------------------------------------------------------------

    async def _serve_tasks(self, first: Invocation) -> None:
        """Run coroutine calls, starting those that arrive meanwhile, until none is left."""
        import asyncio

        loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()
        changed = asyncio.Event()

        def start(invocation: Invocation) -> None:
            task = loop.create_task(invocation.run_here(self._emit_for(invocation)))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(lambda _: changed.set())

        def arrived() -> None:
            frame = self._work.receive()
            if frame is None:
                os._exit(0)
            invocation = self._admit(*frame)
            if invocation is None:
                return
            if invocation.plan.is_async and invocation.plan.surroundings == first.plan.surroundings:
                start(invocation)
            else:
                # It can't run beside these; if they take long, the driver takes it back.
                self._waiting.append(invocation)
                loop.remove_reader(self._work.fileno())

        start(first)
        loop.add_reader(self._work.fileno(), arrived)
        try:
            while running:
                changed.clear()
                await changed.wait()
        finally:
            loop.remove_reader(self._work.fileno())

    def _emit_for(self, invocation: Invocation) -> Callable[[Outcome], None]:
        def emit(outcome: Outcome) -> None:
            if outcome.final:
                self._close(invocation, outcome)
            else:
                self._answer(outcome)

        return emit

    # -- what can't wait ------------------------------------------------------------------------

    def _obey(self) -> None:
        while (frame := self._control.receive()) is not None:
            kind, segments = frame
            if kind == RECALL:
                self._recall(*load_head(segments[0]))
        os._exit(0)

    def _recall(
        self,
        flight: int,
        number: int,
        stop: bool,  # noqa: FBT001 - as it came
        positions: list[int] | None,
    ) -> None:
        with self._flights:
            invocation = self._active.get(flight)
            overtook = number > self._admitted
            if overtook:
                self._refused.add(flight)
        if invocation is None:
            if overtook:
                self._send(pack(RETURNED, (flight, None)))
            return
        self._give_back(invocation)
        if not invocation.plan.is_async:
            self._give_out(invocation)
        elif stop:
            self._process.loop.call_soon_threadsafe(invocation.cancel_tasks, positions)

    def _give_out(self, invocation: Invocation) -> None:
        """Answer what has ended before a call that lasts."""
        with self._flights:  # the final outcome must not overtake this either
            outcome = invocation.record.results()
            if outcome is not None:
                self._answer(outcome)

    def _give_back(self, invocation: Invocation) -> None:
        # Under the lock that `_close` takes too: the final outcome must not overtake this, or the
        # driver, which has forgotten the flight by then, would never run these calls again.
        with self._flights:
            taken = invocation.recall()
            self._send(pack(RETURNED, (invocation.envelope.flight, taken)))
