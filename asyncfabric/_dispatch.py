"""The async shell of the scheduler: pulls inputs, launches invocations, takes the answers in.

There is no task per call and none per map: the pump runs as a callback of the loop whenever there
is something to do (inputs arrived, room came free, a wait is over), and everything it decides comes
from `scheduling`.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._codec import decode_outcome, encode_inputs, is_heavy
from ._exceptions import AttemptTimeout
from .reporting import CallsAnswered, CallsReturned, InvocationLaunched, WorkerLost
from .scheduling import Admission

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncfabric_runtime import Envelope, Outcome

    from ._run import Run
    from .backends import Backend
    from .reporting import Event, Observer
    from .scheduling import Batch


_UNKNOWN_SECONDS = 1e-4
"""What a call is reckoned at before any has been measured."""


@dataclass(slots=True)
class _Flight:
    """An invocation as the dispatcher sees it; it counts against the limit until it has landed."""

    run: Run
    left: int
    launched: float
    each: float
    """Seconds a call was reckoned at."""
    sent: bool = False
    recalled: bool = False


class Dispatcher:
    """Launches the invocations of all runs of a Fabric on its backend."""

    def __init__(
        self, backend: Backend, limit: int | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.loop = loop
        self.backend = backend
        self.observers: list[Observer] = []
        self.broken: Exception | None = None
        self._admission: Admission[Run] = Admission(limit)
        self._runs: dict[Run, None] = {}
        self._flights: dict[int, _Flight] = {}
        self._last_flight = 0
        self._pumping = self._in_pump = False
        self._encoding = 0
        self._landing: asyncio.Event | None = None
        self._work: set[asyncio.Future[Any]] = set()
        self.now = loop.time

    # -- runs -----------------------------------------------------------------------------------

    def expect(self, run: Run) -> None:
        """Know a run that is being prepared."""
        self._runs[run] = None

    def join(self, run: Run) -> None:
        """Take a run in, to be served in its turn."""
        if self.broken is not None:
            self.loop.call_soon(run.finish, self.broken)  # its first call is handed out by then
        self._runs[run] = None
        self._admission.join(run, run.weight, run.plan.is_async)
        self.wake(run)

    def leave(self, run: Run) -> None:
        """Forget a run."""
        self._runs.pop(run, None)
        self._admission.leave(run)
        if self._landing is not None:
            self._landing.set()

    def wake(self, run: Run) -> None:
        """Serve a run at the end of this pass of the loop: what comes in a burst goes together."""
        self._admission.wake(run)
        self.pump_soon()

    def serve(self, run: Run) -> None:
        """Serve a run at once, if it isn't waiting for room already: then it only gathers more."""
        if self._in_pump:
            self.wake(run)  # a user's iterator, read by the pump, submits
            return
        admission = self._admission
        if admission.takes_alone(run):
            # Nobody else waits, so no turns have to be taken.
            room = admission.room()
            if room != 0 and self.backend.room(run.plan) > self._encoding:
                batch, _ = run.next_batch(1, room)
                if batch is not None:
                    self._launch(run, batch)
                if not run.has_more:
                    return
        if admission.wake(run):
            self._pump()

    def pump_soon(self) -> None:
        """Run the pump in the next pass of the loop."""
        if not self._pumping:
            self._pumping = True
            self.loop.call_soon(self._pump)

    @property
    def runs(self) -> list[Run]:
        """The runs that are not over."""
        return list(self._runs)

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return self._admission.in_flight

    # -- the pump -------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._pumping, self._in_pump = False, True
        try:
            self._launch_all()
        finally:
            self._in_pump = False

    def _launch_all(self) -> None:
        admission, backend = self._admission, self.backend
        full: set[bool] = set()
        unread: list[Run] = []
        while (run := admission.turn(full)) is not None:
            room = admission.room()
            if room == 0:
                break
            invocations = backend.room(run.plan) - self._encoding
            if invocations <= 0:
                # Others may still fit: coroutine calls share a worker, plain ones don't.
                full.add(run.plan.is_async)
                continue
            batch, more = run.next_batch(invocations, room)
            if batch is None:
                admission.rest(run)
                if more:
                    unread.append(run)
                    self.pump_soon()
                continue
            self._launch(run, batch)
            if not run.has_more:
                admission.rest(run)
        for run in unread:
            admission.wake(run)

    # -- launching ------------------------------------------------------------------------------

    def _launch(self, run: Run, batch: Batch) -> None:
        self._last_flight += 1
        number = self._last_flight
        count = len(batch.inputs)
        each = run.fan_out.pace.seconds or _UNKNOWN_SECONDS
        flight = self._flights[number] = _Flight(run, count, self.now(), each)
        run.fan_out.launched(number, batch)
        self._admission.launched(run, count, count * each)
        if (encoded := encode_inputs(run.plan, number, batch)) is not None:
            self._send(number, flight, *encoded)
            return
        self._encoding += 1
        self.later(self._encode_aside(number, flight, batch))

    async def _encode_aside(self, number: int, flight: _Flight, batch: Batch) -> None:
        """Pickle large inputs in a thread."""
        try:
            encoded = await asyncio.to_thread(
                encode_inputs, flight.run.plan, number, batch, unlimited=True
            )
        finally:
            self._encoding -= 1
        assert encoded is not None  # noqa: S101 - without a limit there is always a result
        self._send(number, flight, *encoded)
        self.pump_soon()

    def _send(
        self, number: int, flight: _Flight, envelope: Envelope, size: int, bad: dict[int, Exception]
    ) -> None:
        run = flight.run
        if bad or flight.recalled:
            # Inputs that can't be sent fail; their neighbours go back and leave again without them.
            self._land(number, flight, flight.left)
            for position, error in bad.items():
                run.failed(number, position, error, ran=False)
            run.fan_out.returned(number, None)
            run.check()
            self._admission.wake(run)
            self.pump_soon()
            return
        flight.sent = True
        pace = run.fan_out.pace
        pace.sent(flight.left, size)
        seconds = None if pace.seconds is None else pace.seconds * flight.left
        if self.observers:
            self._tell(InvocationLaunched(run.plan.job, number, flight.left))
        try:
            self.backend.launch(envelope, run.code, seconds)
        except Exception as error:  # noqa: BLE001 - a backend's bug must not leave a map waiting
            self.on_refused(number, error)

    # -- answers --------------------------------------------------------------------------------

    def on_outcome(self, outcome: Outcome, worker: str, size: int) -> None:
        """Take answers in; large results are unpickled in a thread."""
        if (flight := self._flights.get(outcome.flight)) is None:
            self.pump_soon()  # all was answered before, and now the worker has room again
            return
        run = flight.run
        answered = len(outcome.positions) + len(outcome.failures)
        if self.observers and answered:
            self._tell(CallsAnswered.of(outcome, run.plan.job, worker))
        if outcome.lacks:
            self._take_back(outcome.flight, flight, None)
        elif answered and not run.over:
            queue = max(0.0, self.now() - flight.launched - outcome.busy)
            run.fan_out.pace.ran(answered, outcome.busy, size)
            self._admission.corrected(run, outcome.busy - answered * flight.each)
            kinds, bodies = outcome.values
            if kinds is None:
                run.answered(outcome, bodies, worker, queue)
            elif is_heavy(outcome):
                run.fan_out.answered(outcome.flight, outcome.positions)
                self.later(self._decode_aside(flight, outcome, worker, queue))
            else:
                values, bad = decode_outcome(outcome)
                run.answered(outcome, values, worker, queue, bad)
        self._land(outcome.flight, flight, flight.left if outcome.final else answered)
        self._room_came_free(run)

    async def _decode_aside(
        self, flight: _Flight, outcome: Outcome, worker: str, queue: float
    ) -> None:
        values, bad = await asyncio.to_thread(decode_outcome, outcome)
        flight.run.answered(outcome, values, worker, queue, bad)
        self.wake(flight.run)

    def on_returned(
        self,
        flight: int,
        positions: list[int] | None,
        *,
        after: float = 0.0,
        alone: bool = False,
    ) -> None:
        """Take back calls that are launched again, uncharged."""
        if (entry := self._flights.get(flight)) is None:
            return
        due = self.now() + after if after else None
        self._take_back(flight, entry, positions, due, alone=alone)
        if after:
            entry.run.set_alarm()
        entry.run.check()
        self._room_came_free(entry.run)

    def _take_back(
        self,
        number: int,
        flight: _Flight,
        positions: list[int] | None,
        due: float | None = None,
        *,
        alone: bool = False,
    ) -> None:
        run = flight.run
        count = flight.left if positions is None else len(positions)
        if not run.over:
            run.fan_out.returned(number, positions, due=due, alone=alone)
        self._admission.corrected(run, -count * flight.each)
        self._land(number, flight, count)
        if self.observers and count:
            self._tell(CallsReturned(run.plan.job, number, count))

    def on_lost(
        self,
        flight: int,
        running: list[int] | None,
        error: Exception,
        worker: str,
        *,
        retryable: bool = True,
        ran: bool = True,
    ) -> None:
        """Charge the calls that a dead worker was at; send the others again, free."""
        if (entry := self._flights.get(flight)) is None:
            return
        run = entry.run
        charged = entry.left if running is None else len(running)
        # A timeout is not repeated when the worker itself tells of it either.
        again = retryable and not isinstance(error, AttemptTimeout)
        if not run.over:
            open_ = run.fan_out.flights.open_positions(flight) if running is None else running
            for position in open_:
                own = type(error)(*error.args)  # each call's error gets a note of its own
                run.failed(flight, position, own, retryable=again, ran=ran, worker=worker)
        self._land(flight, entry, charged)
        if self.observers:
            self._tell(WorkerLost(run.plan.job, flight, charged, worker, error))
        self._take_back(flight, entry, None)
        run.check()
        self._room_came_free(run)

    def on_refused(self, flight: int, error: Exception) -> None:
        """End the fan-out of an invocation: all its others would be refused alike."""
        if (entry := self._flights.get(flight)) is not None:
            self._land(flight, entry, entry.left)
            entry.run.finish(error)
            self._room_came_free(entry.run)

    def on_room(self) -> None:
        """Use the room."""
        self.pump_soon()

    def on_broken(self, error: Exception) -> None:
        """Fail everything: there is nothing left to run on."""
        self.broken = error
        for run in list(self._runs):
            run.finish(error)

    def _room_came_free(self, run: Run) -> None:
        """Go on, if anything waits for room."""
        if run.has_more:
            self._admission.wake(run)
        if self._admission.waits:
            self.pump_soon()

    def _land(self, number: int, flight: _Flight, count: int) -> None:
        count = min(count, flight.left)
        flight.left -= count
        self._admission.landed(count)
        if not flight.left:
            self._flights.pop(number, None)
            if self._landing is not None:
                self._landing.set()

    # -- stopping -------------------------------------------------------------------------------

    def recall(self, run: Run, flights: list[int]) -> None:  # noqa: ARG002 - reads well at the call
        """Stop a run's invocations. Their room comes free when their workers have stopped."""
        for number in flights:
            entry = self._flights.get(number)
            if entry is None:
                continue
            entry.recalled = True
            if entry.sent:
                self.backend.recall(number, None)

    def cancel(self, flight: int, position: int) -> None:
        """Stop one call of an invocation; what is queued behind it goes back."""
        entry = self._flights.get(flight)
        if entry is None:
            return
        if entry.sent:
            self.backend.recall(flight, (position,))
        else:
            entry.recalled = True  # still being pickled: its neighbours leave again without it

    async def drain(self, seconds: float) -> None:
        """Wait, so long at most, until no run has anything left to do."""
        self._landing = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not all(run.at_rest for run in self._runs):
                    self._landing.clear()
                    await self._landing.wait()

    async def aclose(self) -> None:
        """End all runs and close the backend."""
        closing = {task for run in list(self._runs) if (task := run.close()) is not None}
        await self.backend.aclose()
        if pending := (self._work | closing) - {asyncio.current_task()}:
            await asyncio.wait(pending)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the pump, until the dispatcher is closed at the latest."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - who reports must not harm what it reports
                what = f"an observer of asyncfabric raised on {event!r:.200}"
                self.loop.call_exception_handler({"message": what, "exception": error})
