"""The receiving half of the dispatcher: what the backend tells of invocations.

Answers are settled in their runs, room is freed, and what has to be launched again goes back to its
run. What to launch next is the other half's, `_dispatch`.
"""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ._codec import decode_outcome, is_heavy
from ._exceptions import AttemptTimeout
from ._stats import Totals
from .reporting import CallsAnswered, CallsReturned, InvocationThrottled, WorkerLost
from .scheduling import Admission
from .scheduling._throttle import LONGEST_PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncfabric_runtime import Outcome

    from ._run import Run
    from .backends import Backend
    from .reporting import Event, Observer
    from .scheduling import Budget, Limit


@dataclass(slots=True)
class Launched:
    """An invocation as the dispatcher sees it; it counts against the limit until it has landed."""

    run: Run
    left: int
    launched: float
    each: float
    """Seconds a call was reckoned at."""
    copy_of: int | None = None
    """The invocation that has its calls already, for a copy."""
    sent: bool = False
    recalled: bool = False


class Receiving(ABC):
    """What is under way on a backend, and what becomes of it.

    Attributes:
        loop: the event loop of it all; its clock is the only one.
        backend: where attempts run.
        observers: told what happens.
        random: where all random numbers come from that decide anything.
        budget: for repetitions.
        broken: why nothing can be run any more.
        cold: invocations so far that were their worker's first.
        lost: invocations so far whose worker died or was stopped.
        throttled: invocations so far that the service had no room for.
    """

    def __init__(
        self,
        backend: Backend,
        limit: int | None,
        loop: asyncio.AbstractEventLoop,
        adapt: Limit | None = None,
    ) -> None:
        traits = backend.traits
        if traits.bounded:
            limit = backend.lanes if limit is None else min(limit, backend.lanes)
        self.loop = loop
        self.backend = backend
        self.observers: list[Observer] = []
        self.random: random.Random = random.Random()  # noqa: S311 - jitter
        self.broken: Exception | None = None
        self.cold = self.lost = self.throttled = 0
        self._bounded = traits.bounded
        self._admission: Admission[Run] = Admission(limit, adapt if traits.adaptive else None)
        self.budget: Budget = self._admission.budget
        self._late: dict[Run, None] = {}
        """Runs that have late invocations to copy when there is room."""
        self._runs: dict[Run, None] = {}
        self._flights: dict[int, Launched] = {}
        self._totals = Totals()
        self._pumping = False
        self._landing: asyncio.Event | None = None
        self._work: set[asyncio.Future[Any]] = set()
        self.now = loop.time

    def pump_soon(self) -> None:
        """Run the pump in the next pass of the loop."""
        if not self._pumping:
            self._pumping = True
            self.loop.call_soon(self._pump)

    @abstractmethod
    def _pump(self) -> None:
        """Launch what there is room for: the other half's work."""

    # -- answers --------------------------------------------------------------------------------

    def on_outcome(self, outcome: Outcome, worker: str, size: int) -> None:
        """Take answers in; large results are unpickled in a thread."""
        if (flight := self._flights.get(outcome.flight)) is None:
            self.pump_soon()  # all was answered before, and now the worker has room again
            return
        run = flight.run
        answered = outcome.answered
        self.cold += outcome.cold and outcome.final
        if self.observers and answered:
            self._tell(CallsAnswered.of(outcome, run.plan.job, worker))
        if outcome.lacks:
            self._take_back(outcome.flight, flight, None)
        elif answered and not run.over:
            self._admission.answered(answered - len(outcome.failures))
            queue = max(0.0, self.now() - flight.launched - outcome.busy)
            run.fan_out.ran(
                outcome.flight,
                answered,
                outcome.busy,
                size,
                self.now(),
                stored=outcome.phases.store if run.plan.keeps else 0.0,
                longest=max(outcome.run, default=0.0) if run.plan.is_async else None,
                cold=outcome.cold,
                final=outcome.final,
            )
            self._admission.corrected(run, outcome.busy - answered * flight.each)
            kinds, bodies = outcome.values
            if kinds is None:
                run.answered(outcome, bodies, worker, queue)
            elif is_heavy(outcome):
                run.fan_out.answered(outcome.flight, [*outcome.positions, *outcome.elsewhere])
                self.later(self._decode_aside(flight, outcome, worker, queue))
            else:
                values, bad = decode_outcome(outcome, run.plan)
                run.answered(outcome, values, worker, queue, bad)
        self._land(outcome.flight, flight, flight.left if outcome.final else answered)
        self._room_came_free(run)

    async def _decode_aside(
        self, flight: Launched, outcome: Outcome, worker: str, queue: float
    ) -> None:
        # Meanwhile the invocation has landed, and its run may have ended: that is looked at there.
        try:
            values, bad = await asyncio.to_thread(decode_outcome, outcome, flight.run.plan)
        except Exception as error:  # noqa: BLE001 - out of memory, say: its calls would never end
            flight.run.finish(error)
            return
        flight.run.answered(outcome, values, worker, queue, bad)
        self._admission.wake(flight.run)
        self.pump_soon()
        if self._landing is not None:
            self._landing.set()  # whoever waits until nothing is left has to look again

    def on_returned(
        self,
        flight: int,
        positions: list[int] | None,
        *,
        after: float = 0.0,
        alone: bool = False,
    ) -> None:
        """Take back calls that are launched again, uncharged."""
        entry = self._flights.get(flight)
        if entry is None:
            return
        due = self.now() + after if after else None
        self._take_back(flight, entry, positions, due, alone=alone)
        entry.run.set_alarm()
        entry.run.check()
        self._room_came_free(entry.run)

    def _take_back(
        self,
        number: int,
        flight: Launched,
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
        entry = self._flights.get(flight)
        if entry is None:
            return
        run = entry.run
        charged = entry.left if running is None else len(running)
        # A timeout is not repeated when the worker itself tells of it either.
        again = retryable and not isinstance(error, AttemptTimeout)
        if not run.over:
            if running is None:
                running = run.fan_out.flights.open_positions(flight)
            for position in running:
                own = type(error)(*error.args)  # each call's error gets a note of its own
                run.failed(flight, position, own, retryable=again, ran=ran, worker=worker)
        self._land(flight, entry, charged)
        self.lost += 1
        if self.observers:
            self._tell(WorkerLost(run.plan.job, flight, charged, worker, error))
        self._take_back(flight, entry, None)
        run.set_alarm()
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

    def on_throttled(
        self,
        flight: int,
        *,
        scarce: Literal["concurrency", "rate", "reach"],
        retry_after: float | None,
        error: Exception,
    ) -> None:
        """Launch again, uncharged, what the service had no room for, and adapt to it."""
        entry = self._flights.get(flight)
        if entry is None:
            return
        self.throttled += 1
        if self.observers:
            event = InvocationThrottled(entry.run.plan.job, flight, entry.left, scarce, retry_after)
            self._tell(event)
        # The pauses of admission go by it, too, and are no longer than this.
        self.on_returned(flight, None, after=min(retry_after or 0.0, LONGEST_PAUSE_SECONDS))
        chance = self.random.random()
        if not self._admission.refused(self.now(), scarce, chance, retry_after):
            entry.run.finish(error)

    def on_began(self, flight: int, at: float) -> None:
        """Know since when the calls of an invocation run."""
        entry = self._flights.get(flight)
        if entry is not None and not entry.run.over:
            entry.run.began(flight, at)

    def on_progress(
        self, flight: int, position: int, fraction: float, at: float | None = None
    ) -> None:
        """Know how far a running call was at some time."""
        entry = self._flights.get(flight)
        if entry is not None and not entry.run.over:
            entry.run.progressed(flight, position, fraction, at)

    def copy(self, run: Run) -> None:
        """Launch copies of a run's late invocations, as soon as there is room."""
        self._late[run] = None
        self.pump_soon()

    def _room_came_free(self, run: Run) -> None:
        """Go on, if anything waits for room."""
        if run.has_more:
            self._admission.wake(run)
        if self._admission.waits or self._late:
            self.pump_soon()

    def _land(self, number: int, flight: Launched, count: int) -> None:
        count = min(count, flight.left)
        flight.left -= count
        if not self._bounded:
            self._admission.landed(count)
        # What comes later of an invocation that has landed must not free its room once more.
        if not flight.left and self._flights.pop(number, None) is not None:
            if self._bounded:
                self._admission.landed(1)
            if self._landing is not None:
                self._landing.set()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the pump; closing the dispatcher waits for it."""
        _ = self.task(work)

    def task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as `later` does; return its task."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - who reports must not harm what it reports
                what = f"an observer of asyncfabric raised on {event!r:.200}"
                self.loop.call_exception_handler({"message": what, "exception": error})
