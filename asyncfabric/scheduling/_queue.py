"""The calls of one fan-out that wait to be launched."""

from __future__ import annotations

from bisect import bisect_left
from heapq import heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any

from ._batch import Batch, merged

if TYPE_CHECKING:
    from collections.abc import Iterable


class Queue:
    """Gives calls out by index, the lowest first.

    *Fresh* calls are inputs that were never launched; their indices follow each other, and come
    after all others. Calls that are launched *again* are kept in the batches in which they came
    back, so that a thousand of them cost hardly more than one. *Delayed* ones come to those when
    they fall due. *Dropped* ones stay where they are until they are come across: leaving out is
    cheap, searching is not.
    """

    def __init__(self) -> None:
        self.read = 0
        """Inputs taken in so far: the index of the next one."""
        self.next_due: float | None = None
        """When the next delayed call falls due."""
        # Fresh inputs wait in one list and leave, by slices, from another that is in reverse: no
        # input is moved more than twice, and none is kept after it has left.
        self._fresh = 0
        self._incoming: list[Any] = []
        self._outgoing: list[Any] = []
        self._again: list[tuple[int, _Returned]] = []
        self._again_calls = 0
        self._delayed: list[tuple[float, int, Batch]] = []
        self._delayed_calls = 0
        self._dropped: set[int] = set()

    def __len__(self) -> int:
        """Return the number of calls, dropped ones not counted."""
        return self._fresh + self._again_calls + self._delayed_calls - len(self._dropped)

    @property
    def ready(self) -> int:
        """Calls that can be launched at once: at least so many."""
        ready = self._fresh + self._again_calls
        return max(0, ready - self._dropped_ready()) if self._dropped else ready

    @property
    def first(self) -> int:
        """An index that nothing which can be launched at once is below."""
        first = self.read - self._fresh
        return min(first, self._again[0][0]) if self._again else first

    def _dropped_ready(self) -> int:
        """Count the dropped calls that don't wait for their time."""
        dropped = self._dropped
        if not self._delayed:
            return len(dropped)
        delayed = sum(index in dropped for _, _, batch in self._delayed for index in batch.indices)
        return len(dropped) - delayed

    # -- in -------------------------------------------------------------------------------------

    def offer(self, inputs: Iterable[Any]) -> None:
        """Take fresh inputs in."""
        before = len(self._incoming)
        self._incoming.extend(inputs)
        count = len(self._incoming) - before
        self._fresh += count
        self.read += count

    def offer_one(self, value: object) -> None:
        """Take one fresh input in."""
        self._incoming.append(value)
        self._fresh += 1
        self.read += 1

    def give_back(self, batch: Batch) -> None:
        """Take calls in that are launched again."""
        self._again_calls += len(batch.inputs)
        heappush(self._again, (batch.indices[0], _Returned(batch)))

    def delay(self, due: float, batch: Batch) -> None:
        """Take calls in that are launched again, when they are due and not before."""
        self._delayed_calls += len(batch.inputs)
        heappush(self._delayed, (due, batch.indices[0], batch))
        self.next_due = self._delayed[0][0]

    # -- out ------------------------------------------------------------------------------------

    def take(self, now: float, most: int, before: int | None = None) -> Batch | None:
        """Return at most so many calls for one invocation, or None.

        With `before`, only calls of lower indices than that.
        """
        while self.next_due is not None and self.next_due <= now:
            due = heappop(self._delayed)[2]
            self._delayed_calls -= len(due.inputs)
            self.next_due = self._delayed[0][0] if self._delayed else None
            self.give_back(due)
        while True:
            take = self._take_again if self._again else self._take_fresh
            batch = take(most, before)
            if batch is None or not self._dropped:
                return batch
            left = self._without_dropped(batch)
            if left is not None:
                return left

    def _take_again(self, most: int, before: int | None) -> Batch | None:
        again = self._again
        parts: list[Batch] = []
        missing = most
        while again and missing:
            first, returned = again[0]
            batch = returned.batch
            if (before is not None and first >= before) or (batch.alone and parts):
                break
            start, end = returned.start, len(batch.inputs)
            stop = min(end, start + missing)
            limits = [other for other, _ in again[1:3]]  # one of them is the next in the heap
            if before is not None:
                limits.append(before)
            if limits and batch.indices[stop - 1] >= (limit := min(limits)):
                stop = bisect_left(batch.indices, limit, start, stop)
            parts.append(batch.part(start, stop))
            missing -= stop - start
            if stop == end:
                heappop(again)
            else:
                returned.start = stop
                heapreplace(again, (batch.indices[stop], returned))
            if batch.alone:
                break
        if not parts:
            return None
        self._again_calls -= most - missing
        return parts[0] if len(parts) == 1 else merged(parts)

    def _take_fresh(self, most: int, before: int | None) -> Batch | None:
        fresh = self._fresh
        first = self.read - fresh
        count = min(most, fresh)
        if before is not None:
            count = min(count, before - first)
        if count <= 0:
            return None
        self._fresh -= count
        if count == fresh and not self._outgoing:
            # Just what was read for this invocation.
            inputs, self._incoming = self._incoming, []
        else:
            inputs = self._cut(count)
        return Batch(range(first, first + count), inputs, 1)

    def _cut(self, count: int) -> list[Any]:
        inputs: list[Any] = []
        while missing := count - len(inputs):
            if not self._outgoing:
                self._outgoing, self._incoming = self._incoming, self._outgoing
                self._outgoing.reverse()
            outgoing = self._outgoing
            inputs += outgoing[: -missing - 1 : -1]
            del outgoing[-missing:]
        return inputs

    def _without_dropped(self, batch: Batch) -> Batch | None:
        dropped = self._dropped
        if dropped.isdisjoint(batch.indices):
            return batch
        kept = [place for place, index in enumerate(batch.indices) if index not in dropped]
        dropped.difference_update(batch.indices)
        return batch.pick(kept) if kept else None

    def drop(self, index: int) -> None:
        """Leave out a call that is in the queue."""
        self._dropped.add(index)
        if not len(self):
            self.clear()

    def empty(self) -> list[Batch]:
        """Give out all there is, in any order, without regard to what is due."""
        batches = [
            returned.batch.part(returned.start, len(returned.batch.inputs))
            for _, returned in self._again
        ]
        batches += [batch for _, _, batch in self._delayed]
        fresh = [*reversed(self._outgoing), *self._incoming]
        if fresh:
            batches.append(Batch(range(self.read - len(fresh), self.read), fresh, 1))
        if self._dropped:
            kept = map(self._without_dropped, batches)
            batches = [batch for batch in kept if batch is not None]
        self.clear()
        return batches

    def clear(self) -> None:
        """Forget everything."""
        self._fresh = 0
        self._incoming.clear()
        self._outgoing.clear()
        self._again.clear()
        self._again_calls = 0
        self.next_due = None
        self._delayed.clear()
        self._delayed_calls = 0
        self._dropped.clear()


class _Returned:
    """Calls that came back together; those before `start` have left again."""

    __slots__ = ("batch", "start")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.start = 0
