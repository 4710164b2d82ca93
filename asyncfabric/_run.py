"""A fan-out at work: the FanOut's decisions, its inputs, and where its results go.

The dispatcher asks a Run for the next invocation and tells it the answers; the Run hands settled
calls to its `Delivery`. Nothing here refers to the user's `Map`: dropping the Map stops its Run.
"""

from __future__ import annotations

import contextlib
import weakref
from typing import TYPE_CHECKING, Any

from asyncfabric_runtime import Plan
from asyncfabric_runtime._failure import STORE

from ._call import Answered, Attempt
from ._exceptions import WorkerCrashed
from ._failures import annotate, exception_for

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from asyncfabric_runtime import Outcome

    from ._around import Delivery, Home
    from ._sources import Source
    from .jobs._driving import Driving, ReadBack
    from .scheduling import Batch, Block, FanOut


_NO_PLAN = Plan(job="", function="")
_NONE_BAD: Mapping[int, Exception] = {}
_EARLY = 1e-3
"""Seconds that a loop's timers may ring too soon: asyncio by a clock's tick, uvloop by rounding."""


class Run:
    """One fan-out of a dispatcher.

    Attributes:
        fan_out: its state machine.
        plan: what all its invocations have in common; known when it joins the dispatcher.
        code: packed functions that its workers need, by digest.
        keep: whatever must live as long as there is work (the Fabric, which stops when dropped).
        prepare: makes the plan and joins the dispatcher; None once that is done.
        weight: its share among the runs of the dispatcher.
        history: attempts that failed and were repeated, by call.
        driving: of a durable job: what makes its results lasting; None for other fan-outs.
    """

    def __init__(
        self,
        home: Home,
        fan_out: FanOut,
        delivery: Delivery,
        source: Source | None,
    ) -> None:
        self.fan_out = fan_out
        self.plan: Plan = _NO_PLAN
        self.code: dict[str, bytes] = {}
        self.keep: object = home
        self.prepare: Callable[[Run], None] | None = None
        self.weight = 1.0
        self.delivery = delivery
        self.history: dict[int, list[Attempt]] = {}
        self.over = False
        self.driving: Driving | None = None
        self.dispatcher = home.bind()
        self.loop = self.dispatcher.loop
        fan_out.budget = self.dispatcher.budget
        self._home = weakref.ref(home)
        self._source = source
        self._input_error: BaseException | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0

    @property
    def has_more(self) -> bool:
        """Whether there is, or may be, something to launch."""
        return self._source is not None or self.fan_out.has_ready

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way, nor comes unless it is submitted."""
        return self.prepare is None and self._source is None and self.fan_out.idle

    # -- for the dispatcher ---------------------------------------------------------------------

    def next_batch(self, invocations: int, most: int | None) -> tuple[Batch | None, bool]:
        """Return the next invocation's calls, and whether more inputs can be had at once."""
        fan_out = self.fan_out
        more = False
        if self.driving is not None and self.driving.busy:
            return None, False  # whoever reads wakes this run
        if self._source is not None and not self.over:
            wanted = fan_out.demand(invocations)
            if wanted:
                more = self._read(wanted)
        if self.over:
            return None, False
        batch = fan_out.take(self.dispatcher.now(), most)
        while batch is not None and self.driving is not None:
            done, batch = self.driving.sift(batch)
            if done is None:
                break
            flight = self.driving.next_flight()
            fan_out.found(flight, done)
            self.driving.read(flight, range(len(done.inputs)))
            if batch is None and not self.driving.busy:
                batch = fan_out.take(self.dispatcher.now(), most)
        if fan_out.has_delayed:
            self.set_alarm()
        if batch is None:
            self.check()
        return batch, more

    def next_copy(self, most: int | None) -> tuple[int, Batch] | None:
        """Return an invocation that takes too long, and its calls to launch once more, or None."""
        found = self.fan_out.copy(self.dispatcher.now(), most)
        if found is None:
            self.set_alarm()  # for one that has nearly ended, and is looked at again
        return found

    def began(self, flight: int, at: float) -> None:
        """Know since when the calls of an invocation run."""
        self.fan_out.began(flight, at)
        self.set_alarm()

    def progressed(self, flight: int, position: int, fraction: float, at: float | None) -> None:
        """Know how far a call was at some time."""
        if self.fan_out.progressed(flight, position, fraction, self.dispatcher.now(), at):
            self.dispatcher.copy(self)
        self.set_alarm()

    def set_alarm(self) -> None:
        """Come back when the next delayed call falls due, or an invocation may be late."""
        due = self.fan_out.next_due()
        if due is None or (self._alarm is not None and self._alarm_due <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        # Kept here, since uvloop's handle doesn't know it where the time has come already.
        self._alarm_due = due
        # Before its time nothing would be found due, and the alarm be set again for that time.
        self._alarm = self.loop.call_at(due + _EARLY, self._alarmed)

    def _alarmed(self) -> None:
        self._alarm = None
        now = self.dispatcher.now()
        if self.fan_out.look(now):
            self.dispatcher.copy(self)
        if self.fan_out.has_due(now):
            self.wake()  # what it launches sets the alarm
        else:
            self.set_alarm()

    def _read(self, count: int) -> bool:
        assert self._source is not None  # noqa: S101 - for the type checker
        try:
            inputs, more = self._source.pull(count)
        except StopIteration:
            self.fan_out.end_input()
            return False
        except BaseException as error:  # noqa: BLE001 - the user's iterator raised it
            self.fan_out.end_input()
            self._input_error = error
            self.finish(error)
            return False
        if inputs:
            self.fan_out.offer(inputs)
        return more

    def answered(
        self,
        outcome: Outcome,
        values: list[Any],
        worker: str,
        queue: float,
        bad: Mapping[int, Exception] = _NONE_BAD,
    ) -> None:
        """Settle what an outcome answers.

        What lies elsewhere is read first. `values` are its decoded values, and `bad`, by position,
        says what could not be decoded.
        """
        if self.over:
            return
        for position, error in bad.items():
            self.failed(outcome.flight, position, error, worker=worker)
        record = Answered(
            worker,
            outcome.run,
            queue,
            outcome.phases,
            outcome.cold,
            outcome.peak_memory,
            self._by_index(outcome.flight, outcome.logs) if outcome.logs else {},
            len(values) + len(outcome.failures),
        )
        fan_out = self.fan_out
        if values:
            flight, positions = outcome.flight, outcome.positions
            if blocks := fan_out.succeeded(flight, positions, values, record):
                self.delivery.deliver(blocks)
        for position, failure in outcome.failures.items():
            again = failure.kind == STORE
            told = exception_for(failure, as_data=self.plan.data_results)
            self.failed(outcome.flight, position, told, retryable=again, record=record)
        if outcome.elsewhere and self.driving is not None:
            fan_out.answered(outcome.flight, outcome.elsewhere)
            self.driving.read(outcome.flight, outcome.elsewhere, fresh=True)
        if fan_out.copied:
            self.let_losers_go()
        self.set_alarm()
        if fan_out.done:
            self.check()

    def read_back(self, flight: int, found: list[ReadBack]) -> None:
        """Settle calls by what they have come to in the store."""
        if self.over:
            return
        fan_out = self.fan_out
        for position, value, error in found:
            if error is None:
                blocks = fan_out.succeeded(flight, (position,), [value], None)
            else:
                blocks = fan_out.failed_for_good(flight, position, error)
            if blocks:
                self.delivery.deliver(blocks)
        if fan_out.copied:
            self.let_losers_go()
        self.set_alarm()
        self.wake()
        self.check()

    def _by_index(self, flight: int, logs: Mapping[int, str]) -> dict[int, str]:
        index_of = self.fan_out.flights.index_of
        found = ((index_of(flight, position), text) for position, text in logs.items())
        return {index: text for index, text in found if index is not None}

    def failed(
        self,
        flight: int,
        position: int,
        error: BaseException,
        *,
        retryable: bool = False,
        ran: bool = True,
        record: Answered | None = None,
        worker: str = "",
    ) -> None:
        """Settle a call with its error, or let it be repeated."""
        fan_out = self.fan_out
        known = fan_out.flights.call_at(flight, position)
        if known is None:
            return
        index, value, number = known
        where = record.worker if record is not None else worker
        annotate(error, self.plan, index, value, number, where)
        blocks = fan_out.failed(
            flight,
            position,
            error,
            retryable=retryable,
            ran=ran,
            now=self.dispatcher.now(),
            chance=self.dispatcher.random.random(),
            record=record,
        )
        self.set_alarm()
        if blocks is None:
            return
        repeated = not blocks and fan_out.failure(index) is None
        # What has no record, the call itself can't tell; an input that can't be sent is no attempt.
        if repeated or (record is None and (ran or retryable)):
            attempt = (
                record.attempt(len(record.run), number, error)
                if record is not None
                else Attempt(number=number, worker=worker, error=error)
            )
            self.history.setdefault(index, []).append(attempt)
        elif number > 1 and isinstance(error, WorkerCrashed):
            error.add_note(
                f"asyncfabric: {number} workers died of this call, which was alone on each after "
                "the first: it is what ends them, not their surroundings"
            )
        if blocks:
            self.delivery.deliver(blocks)

    def let_losers_go(self) -> None:
        """Stop what other copies have settled."""
        for flight, position in self.fan_out.losers():
            self.dispatcher.cancel(flight, position)

    def check(self) -> None:
        """End the run if nothing is left to be done."""
        if not self.over and self.fan_out.done:
            self._source = None  # read to its end
            if self.driving is None or self._input_error is not None:
                self.finish(self._input_error)  # an input that broke off has no end to be noted
            else:
                self.driving.conclude()

    def finish(self, error: BaseException | None) -> None:
        """End the run: recall what is in flight, tell the delivery."""
        if self.over:
            return
        self.over = True
        self.keep = None
        if self.driving is not None:
            self.driving.stop()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._source is not None:
            self._source.pause()
        self.dispatcher.recall(self, self.fan_out.stop())
        self.dispatcher.leave(self)
        self.delivery.end(error)

    # -- for the user's handle ------------------------------------------------------------------

    def wake(self) -> None:
        """Let the dispatcher look at this run again: there is something to do."""
        self.dispatcher.wake(self)

    def serve(self) -> None:
        """Let the dispatcher launch what has come in, now if there is room."""
        self.dispatcher.serve(self)

    def release(self) -> None:
        """Hold the Fabric no longer: there is nothing under way just now."""
        self.keep = None

    def cancel_call(self, index: int) -> None:
        """Stop the work of one call that nobody waits for any more."""
        if self.over:
            return
        self.delivery.forget(index)
        place = self.fan_out.cancel(index)
        if place is not None:
            self.dispatcher.cancel(*place)
            self.let_losers_go()
        self.check()

    def revive(self, undelivered: list[Block]) -> list[Block]:
        """Go on with what failed or was left; return blocks that can be delivered now.

        Raises `RuntimeError` where the Fabric can't be used any more.
        """
        home = self._home()
        if home is None:
            msg = "the Fabric of this map is gone; keep it for as long as its maps are used"
            raise RuntimeError(msg)
        home.bind()
        self.keep = home
        ready = self.fan_out.revive(undelivered)
        self.over = False
        if self.driving is not None:
            self.driving.begin()
        if self.prepare is None:
            self.dispatcher.join(self)
        else:
            self.prepare(self)
        return ready

    def abandon(self) -> None:
        """End the run because its Map was dropped. Safe from any thread, and without a loop."""
        if self.over and self._source is None:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.close)

    def close(self) -> asyncio.Task[None] | None:
        """End the run for good; return the task that lets its input clean up, if there is one."""
        self.finish(None)
        return None if self._source is None else self._source.close()
