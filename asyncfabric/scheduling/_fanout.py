"""One fan-out: its inputs, calls and attempts, and every decision about them.

The life of a call: *fresh* (read, not launched) -> *in flight* -> *settled* (a value or an error).
An attempt that fails and is worth another, and a call that a worker gives back unrun, go to *again*
(at once) or *delayed* (after a wait). `stop` moves whatever is not settled to *unfinished*, from
where `revive` takes it up again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ._order import AsCompleted, Block, InOrder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._order import Order
    from ._pace import Pace
    from ._retry import Retry


class Batch(NamedTuple):
    """Calls to be launched as one invocation."""

    indices: Sequence[int]
    inputs: list[Any]
    attempts: int | list[int]

    def attempt(self, position: int) -> int:
        """Return the attempt number of the call at a position."""
        return self.attempts if isinstance(self.attempts, int) else self.attempts[position]


class _Pending(NamedTuple):
    index: int
    attempt: int
    input: Any
    alone: bool


@dataclass(slots=True)
class _Flight:
    batch: Batch
    open: bytearray
    left: int


class FanOut:
    """The state machine of one map, or of the submits of one function.

    Args:
        pace: what is known of the function's speed; learned from and used for chunking.
        lanes: how many invocations the backend runs side by side.
        chunksize: calls in an invocation; None adapts it.
        retry: which failed attempts are repeated; None repeats nothing.
        idempotent: an attempt that may have run may be repeated.
        ordered: deliver by index instead of as completed.
        fail_fast: the first failed call ends the fan-out.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        lanes: int = 1,
        chunksize: int | None = None,
        retry: Retry | None = None,
        idempotent: bool = True,
        ordered: bool = False,
        fail_fast: bool = False,
    ) -> None:
        self.pace = pace
        self.lanes = lanes
        self.bound: int | None = None
        """Calls read but not yet delivered, at most; None for no bound."""
        self.adaptive = False
        """The bound follows the pace."""
        self.fail_fast = fail_fast
        self.ordered = ordered
        self.input_open = True
        self.stopped = False
        self.read = self.delivered = self.finished = self.failed_calls = self.attempts = 0
        self.in_flight = 0
        self._chunksize = chunksize
        self._retry = retry
        self._idempotent = idempotent
        self._order: Order = InOrder() if ordered else AsCompleted()
        self._fresh: deque[Any] = deque()
        self._again: deque[_Pending] = deque()
        self._delayed: list[tuple[float, int, _Pending]] = []
        self._flights: dict[int, _Flight] = {}
        self._unfinished: list[_Pending] = []
        self._failures: dict[int, tuple[Any, BaseException]] = {}
        self._halted_at: int | None = None
        self._dropped: set[int] = set()
        self._starved = False

    # -- inputs ---------------------------------------------------------------------------------

    def demand(self, invocations: int) -> int:
        """Return how many inputs are worth reading, with room for so many invocations."""
        if not self.input_open or self.stopped or self._halted_at is not None:
            return 0
        wanted = invocations * self.chunk() - len(self._fresh) - len(self._again)
        bound = self.bound
        if self.adaptive:
            bound = self.pace.buffer(self.lanes)
        if bound is not None:
            room = bound - (self.read - self.delivered)
            self._starved = room < wanted
            wanted = min(wanted, room)
        return max(0, wanted)

    def offer(self, inputs: Iterable[Any]) -> None:
        """Take inputs in; they get the next indices."""
        before = len(self._fresh)
        self._fresh.extend(inputs)
        self.read += len(self._fresh) - before

    def offer_one(self, value: object) -> None:
        """Take one input in."""
        self._fresh.append(value)
        self.read += 1

    def end_input(self) -> None:
        """Know that there are no more inputs."""
        self.input_open = False

    def chunk(self) -> int:
        """Return how many calls make one invocation now."""
        if self._chunksize is not None:
            return self._chunksize
        chunk = self.pace.chunk()
        if not self.input_open and chunk > 1:
            # Near the end, smaller pieces: no lane should be left with much when others are idle.
            ready = len(self._fresh) + len(self._again)
            chunk = max(1, min(chunk, -(-ready // (2 * self.lanes))))
        return chunk

    # -- launching ------------------------------------------------------------------------------

    def take(self, now: float, most: int | None = None) -> Batch | None:
        """Return the next invocation's calls, at most `most` of them, or None."""
        while self._delayed and self._delayed[0][0] <= now:
            self._again.append(heappop(self._delayed)[2])
        if self.stopped:
            return None
        count = self.chunk() if most is None else min(most, self.chunk())
        if self._again and (batch := self._take_again(count)) is not None:
            return batch
        first = self.read - len(self._fresh)
        count = min(count, len(self._fresh))
        if self._halted_at is not None:
            count = min(count, self._halted_at - first)
        if count <= 0:
            return None
        take = self._fresh.popleft
        inputs = [take() for _ in range(count)]
        indices = range(first, first + count)
        if self._dropped and not self._dropped.isdisjoint(indices):
            kept = [
                (index, value)
                for index, value in zip(indices, inputs, strict=True)
                if index not in self._dropped
            ]
            self._dropped.difference_update(indices)
            if not kept:
                return self.take(now, most)
            return Batch([index for index, _ in kept], [value for _, value in kept], 1)
        return Batch(indices, inputs, 1)

    def _take_again(self, count: int) -> Batch | None:
        while self._again and self._again[0].index in self._dropped:
            self._dropped.discard(self._again.popleft().index)
        if not self._again:
            return None
        chosen = [self._again.popleft()]
        # What may have killed its worker goes alone: its neighbours would only be sent back.
        while not chosen[0].alone and self._again and len(chosen) < count:
            if self._again[0].alone or self._again[0].index in self._dropped:
                break
            chosen.append(self._again.popleft())
        return Batch(
            [call.index for call in chosen],
            [call.input for call in chosen],
            [call.attempt for call in chosen],
        )

    def launched(self, flight: int, batch: Batch) -> None:
        """Know that an invocation is on its way."""
        count = len(batch.inputs)
        self._flights[flight] = _Flight(batch, bytearray(b"\1") * count, count)
        self.in_flight += count
        self.attempts += count

    def next_due(self) -> float | None:
        """Return when a delayed call becomes launchable, or None."""
        return self._delayed[0][0] if self._delayed and not self.stopped else None

    # -- answers --------------------------------------------------------------------------------

    def succeeded(
        self, flight: int, positions: Sequence[int], values: list[Any], record: object
    ) -> list[Block]:
        """Settle calls with their values; return what can be delivered now."""
        entry = self._flights.get(flight)
        if entry is None or not values:
            return []
        opened = entry.open
        if isinstance(positions, range):
            answered = opened.count(1, positions.start, positions.stop) == len(positions)
        else:
            answered = all(opened[place] for place in positions)
        if not answered:
            # Some were cancelled while they ran; nobody waits for them any more.
            wanted = [place for place, position in enumerate(positions) if opened[position]]
            positions = [positions[place] for place in wanted]
            values = [values[place] for place in wanted]
            return [
                block
                for place, position in enumerate(positions)
                for block in self._settle(
                    flight,
                    entry,
                    range(position, position + 1),
                    [values[place]],
                    record,
                    wanted[place],
                )
            ]
        return self._settle(flight, entry, positions, values, record, 0)

    def _settle(
        self,
        flight: int,
        entry: _Flight,
        positions: Sequence[int],
        values: list[Any],
        record: object,
        offset: int,
    ) -> list[Block]:
        blocks = []
        inputs = entry.batch.inputs
        for start, stop in _neighbours(positions, entry.batch.indices):
            first, count = positions[start], stop - start
            entry.open[first : first + count] = bytes(count)
            block = Block(
                first=entry.batch.indices[first],
                inputs=inputs if count == len(inputs) else inputs[first : first + count],
                values=values if count == len(values) else values[start:stop],
                record=record,
                offset=offset + start,
            )
            blocks.extend(self._order.add(block))
        self._landed(flight, entry, len(values))
        self.finished += len(values)
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
    ) -> list[Block]:
        """Settle a call with its error, unless it is worth another attempt.

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
        entry = self._flights.get(flight)
        if entry is None or not entry.open[position]:
            return []
        batch = entry.batch
        index, value, attempt = (
            batch.indices[position],
            batch.inputs[position],
            batch.attempt(position),
        )
        entry.open[position] = 0
        self._landed(flight, entry, 1)
        retry = self._retry
        if retry is not None and attempt < retry.attempts and (self._idempotent or not ran):
            if retryable or isinstance(error, retry.on):
                again = _Pending(index, attempt + 1, value, retryable)
                heappush(self._delayed, (now + retry.delay(attempt, chance), index, again))
                return []
        self.failed_calls += 1
        self._failures[index] = (value, error)
        if self.fail_fast and (self._halted_at is None or index < self._halted_at):
            self._halted_at = index
        return self._order.add(Block(index, (value,), [], error, record, 0))

    def returned(self, flight: int, positions: Iterable[int] | None) -> int:
        """Take back calls that did not run (None: all unanswered), uncharged; return how many."""
        entry = self._flights.get(flight)
        if entry is None:
            return 0
        batch = entry.batch
        chosen = range(len(batch.inputs)) if positions is None else sorted(positions)
        back = [place for place in chosen if entry.open[place]]
        for place in reversed(back):
            entry.open[place] = 0
            self._again.appendleft(
                _Pending(
                    batch.indices[place], batch.attempt(place), batch.inputs[place], alone=False
                )
            )
        self.attempts -= len(back)
        self._landed(flight, entry, len(back))
        return len(back)

    def call_at(self, flight: int, position: int) -> tuple[int, Any, int] | None:
        """Return index, input and attempt number of an unanswered call, or None."""
        entry = self._flights.get(flight)
        if entry is None or not entry.open[position]:
            return None
        batch = entry.batch
        return batch.indices[position], batch.inputs[position], batch.attempt(position)

    def index_of(self, flight: int, position: int) -> int | None:
        """Return the index of a call in flight, or None."""
        entry = self._flights.get(flight)
        return None if entry is None else entry.batch.indices[position]

    def open_positions(self, flight: int) -> list[int]:
        """Return the positions of an invocation that are not answered yet."""
        entry = self._flights.get(flight)
        return [] if entry is None else [place for place, open_ in enumerate(entry.open) if open_]

    def cancel(self, index: int) -> tuple[int, int] | None:
        """Drop one call. Where it is in flight, return the invocation and its place there."""
        for flight, entry in self._flights.items():
            indices = entry.batch.indices
            if index in indices:
                position = indices.index(index)
                if entry.open[position]:
                    entry.open[position] = 0
                    self._landed(flight, entry, 1)
                    return flight, position
        self._dropped.add(index)
        return None

    def _landed(self, flight: int, entry: _Flight, count: int) -> None:
        entry.left -= count
        self.in_flight -= count
        if not entry.left:
            del self._flights[flight]

    # -- the end --------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """No call is left to be settled."""
        if self.stopped:
            return True
        return not (self.input_open or self._fresh or self._again or self._delayed or self._flights)

    @property
    def idle(self) -> bool:
        """Nothing is in flight and nothing waits to be launched."""
        return not (self._fresh or self._again or self._delayed or self._flights)

    @property
    def has_delayed(self) -> bool:
        """Something waits for its time."""
        return bool(self._delayed)

    @property
    def has_ready(self) -> bool:
        """Something waits to be launched at once."""
        return bool(self._fresh or self._again)

    @property
    def halted(self) -> bool:
        """A call failed for good, and nothing after it is launched."""
        return self._halted_at is not None

    def stop(self) -> list[int]:
        """End the fan-out; return the invocations in flight, whose answers no longer matter."""
        if self.stopped:
            return []
        self.stopped = True
        for entry in self._flights.values():
            batch = entry.batch
            self._unfinished += [
                _Pending(
                    batch.indices[place], batch.attempt(place), batch.inputs[place], alone=False
                )
                for place, open_ in enumerate(entry.open)
                if open_
            ]
        flights = list(self._flights)
        self._flights.clear()
        self.in_flight = 0
        self._unfinished += self._again
        self._unfinished += [pending for _, _, pending in self._delayed]
        first = self.read - len(self._fresh)
        self._unfinished += [
            _Pending(first + place, 1, value, alone=False)
            for place, value in enumerate(self._fresh)
        ]
        self._again.clear()
        self._delayed.clear()
        self._fresh.clear()
        return flights

    def waiting(self) -> list[Block]:
        """Return the settled blocks that wait for an earlier one."""
        return self._order.waiting()

    @property
    def starved(self) -> bool:
        """Inputs are left unread because too many results wait to be taken."""
        return self._starved

    @property
    def unfinished(self) -> bool:
        """It was stopped with calls that are not settled, or with input that was not read."""
        return self.stopped and (bool(self._unfinished) or self.input_open)

    def failure(self, index: int) -> BaseException | None:
        """Return the error of a call that failed for good, or None."""
        entry = self._failures.get(index)
        return None if entry is None else entry[1]

    def forget(self, block: Block) -> None:
        """Keep nothing of a failed call that nobody will repeat."""
        self._failures.pop(block.first, None)

    def failures(self) -> dict[int, BaseException]:
        """Return the errors of the calls that failed for good, by index."""
        return {index: error for index, (_, error) in sorted(self._failures.items())}

    def tolerate(self) -> None:
        """Go on after failures: whoever takes the results looks at each for itself."""
        self.fail_fast = False
        self._halted_at = None

    def collect(self) -> list[Block]:
        """Deliver as completed from now on; return the blocks that waited for their turn."""
        waiting = self._order.waiting()
        self._order = AsCompleted()
        self.ordered = False
        return waiting

    def revive(self, undelivered: list[Block]) -> list[Block]:
        """Take up again what failed and what was left unfinished, with fresh attempts.

        `undelivered` are blocks that were given out but didn't reach the consumer; those that can
        be delivered now are returned, the others come in their order.
        """
        self._unfinished += [
            _Pending(index, 1, value, alone=False) for index, (value, _) in self._failures.items()
        ]
        self._again.extend(
            pending._replace(attempt=1, alone=False)
            for pending in sorted(self._unfinished, key=attrgetter("index"))
        )
        # A failure that ended the fan-out was delivered, and comes again in its place.
        taken_back = [block.first for block in undelivered]
        if self._halted_at is not None:
            taken_back.append(self._halted_at)
        ready = self._order.rewind(undelivered, min(taken_back, default=None))
        self.failed_calls = 0
        self._unfinished.clear()
        self._failures.clear()
        self._halted_at = None
        self.stopped = False
        return ready


def _neighbours(positions: Sequence[int], indices: Sequence[int]) -> list[tuple[int, int]]:
    """Cut positions into runs that are neighbours both in the invocation and by index."""
    count = len(positions)
    if isinstance(positions, range) and isinstance(indices, range):
        return [(0, count)]
    runs = []
    start = 0
    for place in range(1, count + 1):
        if (
            place == count
            or positions[place] != positions[place - 1] + 1
            or indices[positions[place]] != indices[positions[place - 1]] + 1
        ):
            runs.append((start, place))
            start = place
    return runs
