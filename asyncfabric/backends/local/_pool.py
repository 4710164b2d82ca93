"""The local backend: as many worker processes as the machine has cores."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import WorkerCrashed
from asyncfabric.backends._protocol import Traits

from ._process import WorkerProcess
from ._worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from asyncfabric.backends._heard import Heard
    from asyncfabric.backends._protocol import Receiver
    from asyncfabric_runtime import Envelope, Outcome, Plan
    from asyncfabric_runtime._progress import Report
    from asyncfabric_storage import ObjectStore

STALL_SECONDS = 0.01
"""A worker that answers nothing for so long gives back what is queued behind the call it is at."""
STOP_GRACE_SECONDS = 0.1
"""How long a cancelled call may go on before its worker is stopped."""
CLOSE_GRACE_SECONDS = 2.0
_DEATHS = 5
"""Workers that may die one after another, per process, with no answer in between."""


class LocalBackend:
    """Runs invocations in processes of this machine.

    Args:
        processes: number of worker processes.
    """

    traits: Traits = Traits(copies=True)

    def __init__(self, processes: int) -> None:
        self.lanes = processes
        self._workers: list[Worker] = []
        self._homes: dict[int, Worker] = {}
        self._receiver: Receiver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._spawning: set[asyncio.Task[None]] = set()
        self._ticking = False
        self._deaths = 0
        self._closing = False
        self._broken: Exception | None = None
        self._gone = asyncio.Event()
        self._started = asyncio.Event()

    # -- life -----------------------------------------------------------------------------------

    def open(self, receiver: Receiver, store: ObjectStore) -> None:  # noqa: ARG002
        """Begin to start the workers."""
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        for _ in range(self.lanes):
            self._spawn()

    def _spawn(self) -> None:
        task = asyncio.ensure_future(self._start_worker())
        self._spawning.add(task)
        task.add_done_callback(self._spawning.discard)

    async def _start_worker(self) -> None:
        loop = asyncio.get_running_loop()
        # In a thread: fork and exec take a millisecond, more where the driver is large.
        start = loop.run_in_executor(None, WorkerProcess)
        try:
            process = await asyncio.shield(start)
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                process = await start
                process.kill()
                process.release()
                await loop.run_in_executor(None, process.wait)
            raise
        except OSError as error:
            self._break(WorkerCrashed(f"a worker process can't be started: {error}"))
            return
        worker = Worker(self, process, loop)
        self._workers.append(worker)
        process.watch(partial(self._exited, worker))

    def _exited(self, worker: Worker) -> None:
        """In the waiting thread: a worker has ended."""
        assert self._loop is not None  # noqa: S101 - it is open
        try:
            self._loop.call_soon_threadsafe(self._bury, worker)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            worker.close()
            worker.process.release()

    def _bury(self, worker: Worker) -> None:
        worker.hear_out()
        # Its page is read before it is released: it says what the worker was at.
        running = worker.running()
        worker.close()
        self._workers.remove(worker)
        error = worker.process.obituary(timed_out=worker.timed_out)
        worker.process.release()
        if self._closing:
            if not self._workers:
                self._gone.set()
            return
        charged = running is not None or any(load.is_async for load in worker.loads.values())
        if not charged and not worker.dismissed and not worker.process.retired:
            # What is charged to a call ends with the call's attempts; this would go on for ever.
            self._deaths += 1
        if self._deaths > _DEATHS * self.lanes:
            self._break(
                WorkerCrashed(
                    f"{self._deaths} workers died one after another without an answer; the last: "
                    f"{error}. What they wrote is on the driver's standard error"
                )
            )
            return
        self._spawn()
        self._tell_lost(worker, running, error)

    def _tell_lost(self, worker: Worker, running: tuple[int, int] | None, error: Exception) -> None:
        assert self._receiver is not None  # noqa: S101 - it is open
        loads, worker.loads = worker.loads, {}
        coroutines = all(load.is_async for load in loads.values())
        for flight in loads:
            self._homes.pop(flight, None)
            at: list[int] | None = []
            if running is not None and running[0] == flight:
                at = [running[1]]
            elif running is None and coroutines:
                at = None  # it died while all of them waited: any may have been the cause
            self._receiver.on_lost(flight, at, error, worker.name)

    def _break(self, error: Exception) -> None:
        self._broken = error
        self._started.set()
        if self._receiver is not None:
            self._receiver.on_broken(error)

    def kill(self) -> None:
        """Kill the workers and close all descriptors, without a loop."""
        self._closing = True
        for worker in self._workers:
            worker.process.kill()
            worker.close()

    async def aclose(self) -> None:
        """Hang up on the workers, kill those that don't end, and wait until all are gone."""
        self._closing = True
        self._receiver = None
        self._started.set()
        for task in list(self._spawning):
            task.cancel()
        if self._spawning:
            await asyncio.wait(self._spawning)
        for worker in self._workers:
            worker.close()
        if self._workers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), CLOSE_GRACE_SECONDS)
        for worker in self._workers:
            worker.process.kill()
        if self._workers:
            await self._gone.wait()

    async def prepare(self, functions: Mapping[str, Callable[..., Any]]) -> str | None:  # noqa: ARG002
        """Do nothing: workers have the driver's `sys.path`."""
        return None

    async def warm(self, workers: int) -> None:
        """Wait until so many processes (at most, as many as there are) have started."""
        while not self._closing:
            self._started.clear()
            if self._broken is not None:
                raise self._broken
            if sum(worker.ready for worker in self._workers) >= min(workers, self.lanes):
                return
            await self._started.wait()

    # -- work -----------------------------------------------------------------------------------

    def room(self, plan: Plan) -> int:
        """Return how many workers can be given an invocation now."""
        is_async = plan.is_async
        count = 0
        for worker in self._workers:
            if worker.free or worker.room(is_async=is_async):
                count += 1
        return count

    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        """Send an invocation to the worker with the least on it."""
        # A copy is made since the other one doesn't get on: where that is, it may not either.
        slow = None if envelope.copy_of is None else self._homes.get(envelope.copy_of)
        worker = self._least_loaded(slow, is_async=envelope.plan.is_async)
        if worker is None:
            # The one that had room has died since.
            assert self._receiver is not None  # noqa: S101 - it is open
            self._receiver.on_returned(envelope.flight, None)
            return
        self._homes[envelope.flight] = worker
        worker.launch(envelope, code, seconds)
        if not self._ticking:
            self._ticking = True
            self._later(STALL_SECONDS, self._tick)

    def _least_loaded(self, slow: Worker | None = None, *, is_async: bool) -> Worker | None:
        """Return the worker with the least on it, the slow one only where no other has room."""
        best, least = None, 0
        for worker in self._workers:
            if worker.free:
                return worker
            if worker is not slow and worker.room(is_async=is_async):
                calls = worker.calls
                if best is None or calls < least:
                    best, least = worker, calls
        if best is None and slow is not None and slow.room(is_async=is_async):
            return slow
        return best

    def on_ready(self) -> None:
        """A worker has started."""
        self._started.set()
        if self._receiver is not None:
            self._receiver.on_room()

    def on_outcome(self, worker: Worker, outcome: Outcome, size: int) -> None:
        """Pass answers on."""
        self._deaths = 0
        if outcome.final:
            self._homes.pop(outcome.flight, None)
        if self._receiver is not None:
            self._receiver.on_outcome(outcome, worker.name, size)

    def on_returned(self, flight: int, positions: list[int] | None) -> None:
        """Pass returned calls on."""
        if positions is None:
            self._homes.pop(flight, None)
        if self._receiver is not None:
            self._receiver.on_returned(flight, positions)

    def on_report(self, heard: Heard, flight: int, report: Report) -> None:
        """Pass on what a worker is at."""
        if self._receiver is not None and self._loop is not None:
            heard.tell(self._receiver, flight, report, self._loop.time())

    # -- stopping -------------------------------------------------------------------------------

    def recall(self, flight: int, positions: Collection[int] | None) -> None:
        """Take back what has not begun; stop the worker if the rest doesn't end soon."""
        worker = self._homes.get(flight)
        if worker is None:
            return
        load = worker.loads[flight]
        if positions is None:
            load.cancelled = None
        elif load.cancelled is not None:
            load.cancelled.update(positions)
        worker.recall(flight, positions, stop=True)
        self._later(STOP_GRACE_SECONDS, partial(self._stop, worker, flight, positions))

    def _stop(self, worker: Worker, flight: int, positions: Collection[int] | None) -> None:
        load = worker.loads.get(flight)
        if load is None or worker not in self._workers:
            return
        if load.is_async:
            # Others may run beside it; only a worker with nothing else to do is stopped.
            if all(load.is_for_nobody for load in worker.loads.values()):
                worker.dismiss()
            return
        running = worker.running()
        at_it = running is not None and running[0] == flight
        if running is not None and at_it and (positions is None or running[1] in positions):
            worker.dismiss()

    # -- watching -------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Find workers that are stuck in one call, and take back what waits behind it."""
        assert self._loop is not None  # noqa: S101 - it is open
        now = self._loop.time()
        again: float | None = None
        for worker in self._workers:
            if not worker.loads:
                continue
            if worker.answers != worker.answers_seen:
                worker.answers_seen = worker.answers
                again = STALL_SECONDS
                continue
            plain = [load for load in worker.loads.values() if not load.is_async]
            if plain and not worker.stalled:
                worker.stalled = True
                for flight, load in worker.loads.items():
                    if (load.left > 1 or len(worker.loads) > 1) and not load.recalled:
                        load.recalled = True
                        worker.recall(flight, (), stop=False)
            limits = [load.timeout for load in worker.loads.values() if load.timeout is not None]
            if limits:
                worker.timed_out = worker.overdue(now)
                if worker.timed_out is not None:
                    worker.dismiss()
                again = again or min(0.25, *limits)
        if again is None:
            self._ticking = False
        else:
            self._later(again, self._tick)

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101 - it is open
        self._loop.call_later(seconds, what)
