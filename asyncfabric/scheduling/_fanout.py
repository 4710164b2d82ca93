"""One fan-out: its inputs, calls and attempts, and every decision about them.

The life of a call: *queued* (read, not launched) -> *in flight* -> *settled* (a value or an error).
An attempt that fails and is worth another, and a call that a worker gives back unrun, are queued
again. One that takes long may be at several workers: then the first answer settles it. `stop` makes
whatever is not settled *unfinished*, from where `revive` takes it up again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ._batch import Batch
from ._budget import Budget
from ._order import AsCompleted, Block, InOrder
from ._under_way import UnderWay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._hedge import Hedge
    from ._order import Order
    from ._pace import Pace
    from ._retry import Retry

_PIECES = 16
"""An invocation that ended is taken apart into so many."""


class FanOut(UnderWay):
    """The state machine of one map, or of the submits of one function.

    Costs are per slice of calls: thousands that go or settle together cost little more than one.

    Args:
        pace: what is known of the function's speed; learned from and used for chunking.
        lanes: how many invocations the backend runs side by side.
        chunksize: calls in an invocation; None adapts it.
        retry: which failed attempts are repeated; None repeats nothing.
        hedge: which late calls get a copy; None copies nothing.
        idempotent: an attempt that may have run may be repeated, and a call be copied.
        ordered: deliver by index instead of as completed.
        fail_fast: the first failed call ends the fan-out: in order, calls before it still run and
            are delivered, and none after it is launched; as completed, none at all is.

    Attributes:
        bound: calls read but not yet delivered, at most; None for no bound.
        adaptive: the bound follows the pace.
        delivered: calls that reached the consumer, by its own count, and those that were dropped.
        finished: calls with a value.
        failed_calls: calls that failed for good.
        attempts: executions that were begun, or may have been.
        repeated: attempts that failed and were worth another.
        copied: executions that were begun as copies, or may have been.
        copies_won: calls that got their value from a copy.
        in_flight: calls at the workers.
        flights: the invocations that carry them.
        budget: what repetitions of failures are taken from that are nobody's.
        input_open: there may be more inputs.
        stopped: nothing is launched any more, until `revive`.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        lanes: int = 1,
        chunksize: int | None = None,
        retry: Retry | None = None,
        hedge: Hedge | None = None,
        idempotent: bool = True,
        ordered: bool = False,
        fail_fast: bool = False,
    ) -> None:
        super().__init__(pace, lanes, chunksize, hedge if idempotent else None)
        self.fail_fast: bool = fail_fast
        self.ordered: bool = ordered
        self.finished: int = 0
        self.failed_calls: int = 0
        self.repeated: int = 0
        self.copies_won: int = 0
        self._retry = retry
        self._idempotent = idempotent
        self._order: Order = InOrder() if ordered else AsCompleted()
        self.budget: Budget = Budget()
        self._unfinished: list[Batch] = []
        self._failures: dict[int, tuple[Any, BaseException]] = {}

    # -- answers --------------------------------------------------------------------------------

    def answered(self, flight: int, positions: Iterable[int]) -> None:
        """Know that calls are answered, and settled later: they don't come back any more."""
        if (entry := self.flights.get(flight)) is not None:
            entry.answer(positions)

    def succeeded(
        self, flight: int, positions: Sequence[int], values: list[Any], record: object
    ) -> list[Block]:
        """Settle calls with their values; return what can be delivered now.

        Calls that were dropped meanwhile are left out, and so is all of a flight that is unknown.
        """
        entry = self.flights.get(flight)
        if entry is None or not values:
            return []
        blocks: list[Block] = []
        indices, inputs = entry.batch.indices, entry.batch.inputs
        before = entry.left
        if self._copies:
            for position in positions:
                if entry.holds(position):
                    self._outrun(indices[position], flight)
        if entry.is_answered_by(positions):
            entry.left = 0
            blocks = self._order.add(Block(indices[0], inputs, values, None, record))
        else:
            for start, stop in entry.runs(positions):
                first, count = positions[start], stop - start
                entry.close_run(first, first + count)
                some = inputs[first : first + count]
                block = Block(indices[first], some, values[start:stop], None, record, start)
                blocks += self._order.add(block)
        settled = before - entry.left
        self.finished += settled
        if entry.copy:
            self.copies_won += settled
        self._landed(flight, entry, settled)
        return blocks

    def failed(
        self,
        flight: int,
        position: int,
        error: BaseException,
        *,
        retryable: bool,
        ran: bool = True,
        now: float,
        chance: float,
        record: object = None,
    ) -> list[Block] | None:
        """Settle a call with its error, unless it is worth another attempt.

        Nothing comes of it, and None is returned, where a copy of the call is still under way.

        Args:
            flight: the invocation.
            position: place of the call in it.
            error: what the call fails with if this was its last attempt.
            retryable: the kind of failure that is repeated as a matter of course.
            ran: user code may have run.
            now: the time, in seconds of the caller's clock.
            chance: a random number from [0, 1).
            record: what the shell knows of the attempt.
        """
        if (entry := self.flights.get(flight)) is None or not entry.holds(position):
            return []
        index, value, attempt = entry.batch.call(position)
        entry.close(position)
        self._landed(flight, entry, 1)
        retry = self._retry
        if self._runs_on(index, flight, ran=True):
            lasting = record is not None and not (retry is not None and isinstance(error, retry.on))
            if not (lasting and self._is_copied_out(index)):
                return None
            # It is the function's own, no other copy will be made, and the last may be what hangs.
            self._outrun(index, flight)
        if (
            retry is not None
            and attempt < retry.attempts
            and (self._idempotent or not ran)
            and (isinstance(error, retry.on) or (retryable and self._affords(error)))
        ):
            # What may have killed its worker goes alone: its neighbours would only come back.
            again = Batch(range(index, index + 1), [value], attempt + 1, alone=retryable)
            self.repeated += 1
            self._queue.delay(now + retry.delay(attempt, chance), again)
            return []
        return self._settle_failed(index, value, error, record)

    def failed_for_good(self, flight: int, position: int, error: BaseException) -> list[Block]:
        """Settle a call with its error, whatever other attempts come to."""
        if (entry := self.flights.get(flight)) is None or not entry.holds(position):
            return []
        index, value, _ = entry.batch.call(position)
        entry.close(position)
        self._landed(flight, entry, 1)
        if self._copies:
            self._outrun(index, flight)
        return self._settle_failed(index, value, error, None)

    def _settle_failed(
        self, index: int, value: object, error: BaseException, record: object
    ) -> list[Block]:
        self.failed_calls += 1
        self._failures[index] = (value, error)
        if self.fail_fast:
            at = index if self.ordered else 0
            self._halted_at = at if self._halted_at is None else min(at, self._halted_at)
        return self._order.add(Block(index, (value,), [], error, record, 0))

    def mended(self, index: int) -> None:
        """Know that a call which was settled with an error has a value after all."""
        if self._failures.pop(index, None) is not None:
            self.failed_calls -= 1
            self.finished += 1

    def returned(
        self,
        flight: int,
        positions: Iterable[int] | None,
        *,
        due: float | None = None,
        alone: bool = False,
    ) -> int:
        """Take back calls (None: all unanswered), uncharged; return how many.

        They are launched again when they are `due`, at once by default. If one of them may be what
        ended the invocation, they go `alone`, in a few pieces at first, so that the one is found
        soon, and without an invocation for each of thousands.
        """
        if (entry := self.flights.get(flight)) is None:
            return 0
        back = entry.open_positions() if positions is None else entry.open_among(positions)
        if not back:
            return 0
        batch = entry.batch
        wanted = back
        if self._copies:
            indices = batch.indices
            # Copies that may have ended their workers count: there is an end to them.
            wanted = [p for p in back if not self._runs_on(indices[p], flight, ran=alone)]
        if wanted:
            batch = batch.pick(wanted)
            for part in batch.pieces(_PIECES) if alone else (batch,):
                if due is None:
                    self._queue.give_back(part)
                else:
                    self._queue.delay(due, part)
        self._returned(flight, entry, back)
        return len(back)

    def cancel(self, index: int) -> tuple[int, int | None] | None:
        """Drop one call that is not settled; it never will be.

        Return the invocation and its place there, if it is in flight; None for the place where
        nothing is left of the invocation. Not for calls in order.
        """
        if self.stopped:
            return None
        if (found := self.flights.find(index)) is None:
            self._queue.drop(index)
            return None
        flight, position = found
        self._outrun(index, flight)
        entry = self.flights[flight]
        entry.close(position)
        self._landed(flight, entry, 1)
        return flight, position if entry.left else None

    def _affords(self, error: BaseException) -> bool:
        """Take a repetition from the budget; say so in the error if that is spent."""
        if self.budget.spend():
            return True
        error.add_note(
            "asyncfabric: it was not tried again, since too many attempts fail for no fault of "
            "their calls; see to the backend's health, or run this once more later"
        )
        return False

    # -- how far it is --------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """No call is left to be settled."""
        return self.stopped or not (self.input_open or self.flights or self._queue)

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing waits to be launched."""
        return not (self.flights or self._queue)

    @property
    def has_ready(self) -> bool:
        """Something waits to be launched at once."""
        return self._launchable

    def has_due(self, now: float) -> bool:
        """Tell whether a delayed call has fallen due."""
        due = self._queue.next_due
        return due is not None and due <= now

    @property
    def has_delayed(self) -> bool:
        """Something waits for its time."""
        return self._queue.next_due is not None

    @property
    def unfinished(self) -> bool:
        """It was stopped with calls that are not settled, or with input that was not read."""
        return self.stopped and (bool(self._unfinished) or self.input_open)

    def waiting(self) -> list[Block]:
        """Return the settled blocks that wait for an earlier one."""
        return self._order.waiting()

    def failure(self, index: int) -> BaseException | None:
        """Return the error of a call that failed for good, or None."""
        entry = self._failures.get(index)
        return None if entry is None else entry[1]

    def failures(self) -> dict[int, BaseException]:
        """Return the errors of the calls that failed for good, by index."""
        return {index: error for index, (_, error) in sorted(self._failures.items())}

    # -- changes of mind ------------------------------------------------------------------------

    def forget(self, block: Block) -> None:
        """Keep nothing of a failed call that nobody will repeat."""
        self._failures.pop(block.first, None)

    def tolerate(self) -> bool:
        """Go on after failures: whoever takes the results looks at each for itself.

        Returns whether a failure had halted the fan-out, so that it has to be looked at again.
        """
        at, self._halted_at = self._halted_at, None
        self.fail_fast = False
        return at is not None

    def collect(self) -> list[Block]:
        """Deliver as completed from now on; return the blocks that waited for their turn."""
        waiting = self._order.waiting()
        self._order = AsCompleted()
        self.ordered = False
        return waiting

    def stop(self) -> list[int]:
        """End the fan-out; return the invocations in flight, whose answers no longer matter."""
        if self.stopped:
            return []
        flights = list(self.flights)
        self._unfinished += self._abandon()
        self._unfinished += self._close()
        return flights

    def revive(self, undelivered: list[Block]) -> list[Block]:
        """Take up again what failed and what was left unfinished, with fresh attempts.

        Only after `stop`. `undelivered` are blocks that were given out but didn't reach the
        consumer; those that can be delivered now are returned, the others come in their order.
        """
        unseen = [block for block in [*undelivered, *self.waiting()] if block.error is not None]
        if self._failures:
            failed = sorted(self._failures)
            values = [self._failures[index][0] for index in failed]
            self._unfinished.append(Batch(failed, values, 1))
        for batch in self._unfinished:
            self._queue.give_back(replace(batch, attempts=1, alone=False))
        again = [index for batch in self._unfinished for index in batch.indices]
        ready = self._order.rewind(undelivered, again)
        self._reopen(len(self._failures) - len(unseen))
        self.failed_calls = 0
        self._unfinished.clear()
        self._failures.clear()
        return ready
