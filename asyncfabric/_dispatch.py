"""The async shell of the scheduler: pulls inputs, launches invocations, takes the answers in.

There is no task per call and none per map: the pump runs as a callback of the loop whenever there
is something to do (inputs arrived, room came free, a wait is over), and everything it decides comes
from `scheduling`.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from ._codec import EncodedInputs, encode_inputs
from ._receiving import Launched, Receiving
from .reporting import InvocationLaunched, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from asyncfabric_runtime import Envelope

    from ._run import Run
    from .backends import Backend
    from .scheduling import Batch, Limit


_UNKNOWN_SECONDS = 1e-4
"""What a call is reckoned at before any has been measured."""


class Dispatcher(Receiving):
    """Launches the invocations of all runs of a Fabric on its backend."""

    def __init__(
        self,
        backend: Backend,
        limit: int | None,
        loop: asyncio.AbstractEventLoop,
        adapt: Limit | None = None,
    ) -> None:
        super().__init__(backend, limit, loop, adapt)
        self._last_flight = 0
        self._in_pump = False
        self._encoding = 0
        self._opening: asyncio.TimerHandle | None = None

    # -- runs -----------------------------------------------------------------------------------

    def expect(self, run: Run) -> None:
        """Know a run that is being prepared."""
        if run not in self._runs:
            self._runs[run] = None
            self._totals.begins(run.fan_out)

    def join(self, run: Run) -> None:
        """Take a run in, to be served in its turn."""
        if self.broken is not None:
            self.loop.call_soon(run.finish, self.broken)  # its first call is handed out by then
        self.expect(run)
        self._admission.join(run, run.weight, run.plan.is_async)
        self.wake(run)

    def leave(self, run: Run) -> None:
        """Forget a run."""
        if run in self._runs:
            del self._runs[run]
            self._totals.ends(run.fan_out)
        self._late.pop(run, None)
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
            room = admission.room(self.now())
            if room != 0 and self.backend.room(run.plan) > self._encoding:
                batch, _ = run.next_batch(1, None if self._bounded else room)
                if batch is not None:
                    self._launch(run, batch)
                if not run.has_more:
                    return
        if admission.wake(run):
            self._pump()

    @property
    def runs(self) -> list[Run]:
        """The runs that are not over."""
        return list(self._runs)

    @property
    def in_flight(self) -> int:
        """What is in flight: attempts, or invocations where it is those that are bounded."""
        return self._admission.in_flight

    def report(self) -> Report:
        """Return what came of everything so far."""
        admission = self._admission
        return Report(
            calls=self._totals.stats(run.fan_out for run in self._runs),
            invocations=self._last_flight,
            cold=self.cold,
            lost=self.lost,
            throttled=self.throttled,
            limit=admission.limit_now,
            rate=admission.rate_now,
        )

    # -- the pump -------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._pumping, self._in_pump = False, True
        try:
            if self._launch_all():
                self._launch_copies()
            if self._admission.waits or self._late:
                self._pump_when_open()
        finally:
            self._in_pump = False

    def _launch_all(self) -> bool:
        """Launch what there is room for; return whether nothing is left to launch."""
        admission, backend = self._admission, self.backend
        full: set[bool] = set()
        unread: list[Run] = []
        while (run := admission.turn(full)) is not None:
            room = admission.room(self.now())
            if room == 0:
                break
            invocations = backend.room(run.plan) - self._encoding
            if invocations <= 0:
                # Others may still fit: coroutine calls share a worker, plain ones don't.
                full.add(run.plan.is_async)
                continue
            most = room
            if self._bounded and room is not None:
                invocations, most = min(invocations, room), None
            batch, more = run.next_batch(invocations, most)
            if batch is None:
                admission.rest(run)
                if more:
                    unread.append(run)
                    self.pump_soon()
                continue
            self._launch(run, batch)
            if not run.has_more:
                admission.rest(run)
            if room == 1:
                break  # that was the last
        for waiting in unread:
            admission.wake(waiting)
        return run is None and not unread

    def _launch_copies(self) -> None:
        """Use what room is left, with nothing else to launch, for calls that take too long."""
        for run in list(self._late):
            while True:
                room = self._admission.room(self.now())
                if room == 0 or self.backend.room(run.plan) <= self._encoding:
                    break
                found = run.next_copy(None if self._bounded else room)
                if found is None:
                    self._late.pop(run, None)
                    break
                self._launch(run, found[1], copy_of=found[0])

    def _pump_when_open(self) -> None:
        """Go on at the end of a pause that no answer will end."""
        opens = self._admission.opens(self.now())
        if self._opening is not None:
            self._opening.cancel()
        self._opening = None if opens is None else self.loop.call_at(opens, self.pump_soon)

    # -- launching ------------------------------------------------------------------------------

    def _launch(self, run: Run, batch: Batch, copy_of: int | None = None) -> None:
        self._last_flight += 1
        number = self._last_flight
        count = len(batch.inputs)
        each = run.fan_out.pace.seconds or _UNKNOWN_SECONDS
        now = self.now()
        flight = self._flights[number] = Launched(run, count, now, each, copy_of)
        cold = self._admission.launched(run, 1 if self._bounded else count, count * each, now)
        run.fan_out.launched(number, batch, now, cold=cold, copy_of=copy_of)
        run.set_alarm()  # no other answer may come to do so
        encoded = encode_inputs(run.plan, number, batch)
        if encoded is not None and run.driving is None:
            self._send(number, flight, *encoded)
            return
        self._encoding += 1
        self.later(self._encode_aside(number, flight, batch, encoded))

    async def _encode_aside(
        self, number: int, flight: Launched, batch: Batch, encoded: EncodedInputs | None
    ) -> None:
        """Pickle large inputs in a thread, and seal those of a durable job."""
        run = flight.run
        try:
            if encoded is None:
                encoded = await asyncio.to_thread(
                    encode_inputs, run.plan, number, batch, unlimited=True
                )
                assert encoded is not None  # noqa: S101 - without a limit there is always a result
            if run.driving is not None:
                envelope, size, bad = encoded
                bad = {**await run.driving.seal(envelope, batch.inputs, size), **bad}
                encoded = envelope, size, bad
        except Exception as error:  # noqa: BLE001 - out of memory, say: its calls would never end
            self._encoding -= 1
            self.on_refused(number, error)
            return
        self._encoding -= 1
        # Whoever recalled it meanwhile has marked it: the backend doesn't know it yet.
        self._send(number, flight, *encoded)
        self.pump_soon()

    def _send(
        self,
        number: int,
        flight: Launched,
        envelope: Envelope,
        size: int,
        bad: dict[int, Exception],
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
        run.fan_out.sent(number, flight.left, size)
        seconds = None if pace.seconds is None else pace.seconds * flight.left
        if self.observers:
            self._tell(
                InvocationLaunched(run.plan.job, number, flight.left, flight.copy_of is not None)
            )
        envelope.copy_of = flight.copy_of
        try:
            self.backend.launch(envelope, run.code, seconds)
        except Exception as error:  # noqa: BLE001 - a backend's bug must not leave a map waiting
            self.on_refused(number, error)

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

    def cancel(self, flight: int, position: int | None) -> None:
        """Stop one call of an invocation, or all; what is queued behind it goes back."""
        entry = self._flights.get(flight)
        if entry is None:
            return
        if entry.sent:
            self.backend.recall(flight, None if position is None else (position,))
        else:
            entry.recalled = True  # still being pickled: its neighbours leave again without it

    async def drain(self, seconds: float) -> None:
        """Wait, so long at most, until no run has anything left to do."""
        await self._until(lambda: all(run.at_rest for run in self._runs), seconds)

    async def stopped(self, runs: Collection[Run], seconds: float) -> None:
        """Wait, so long at most, until workers are done with what some runs had launched."""
        await self._until(
            lambda: not any(flight.run in runs for flight in self._flights.values()), seconds
        )

    async def _until(self, reached: Callable[[], bool], seconds: float) -> None:
        if self._landing is None:
            self._landing = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not reached():
                    self._landing.clear()
                    await self._landing.wait()

    async def aclose(self) -> None:
        """End all runs and close the backend."""
        if self._opening is not None:
            self._opening.cancel()
        closing = {task for run in list(self._runs) if (task := run.close()) is not None}
        await self.backend.aclose()
        if pending := (self._work | closing) - {asyncio.current_task()}:
            await asyncio.wait(pending)
