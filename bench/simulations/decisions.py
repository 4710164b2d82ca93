"""The scheduler's state machines alone: a map's decisions, without driver, worker or cloud."""

from __future__ import annotations

from collections import deque
from random import Random
from time import process_time
from typing import TYPE_CHECKING

from asyncfabric import Hedge, Limit, Retry
from asyncfabric.scheduling import Admission, FanOut, Pace

if TYPE_CHECKING:
    from asyncfabric.scheduling import Batch

_SEED = 2017
_SECONDS = 2.0


def decide(calls: int, slots: int) -> float:
    """Decide a map of so many calls, one an invocation; return seconds of CPU.

    Everything that the dispatcher asks the scheduler and tells it, in the same order: it takes a
    turn, reads inputs, launches while there is room; then the oldest invocation is answered, by a
    warm worker from the second on, the alarm is set, room comes free, and so on.
    """
    chance = Random(_SEED)
    seconds = [chance.uniform(0.9, 1.1) * _SECONDS for _ in range(1000)]
    began = process_time()
    map_ = _Map(calls, slots)
    map_.pump()
    while not map_.over:
        map_.answer(seconds[map_.answered % len(seconds)])
        map_.pump()
    took = process_time() - began
    if map_.fan_out.finished != calls:
        message = f"{map_.fan_out.finished} of {calls} calls were settled"
        raise AssertionError(message)
    return took


class _Map:
    def __init__(self, calls: int, slots: int) -> None:
        self.answered = 0
        self.over = False
        self.fan_out = FanOut(Pace(0.5), lanes=slots, retry=Retry(), hedge=Hedge(), ordered=True)
        self._admission: Admission[FanOut] = Admission(slots, Limit())
        self._admission.join(self.fan_out, 1.0)
        self._admission.wake(self.fan_out)
        self._calls, self._slots = calls, slots
        self._step = _SECONDS / slots
        self._now = 0.0
        self._flights: deque[tuple[int, Batch, float]] = deque()
        self._last = 0

    def pump(self) -> None:
        """Launch while there is room, as the pump does."""
        fan_out, admission, now = self.fan_out, self._admission, self._now
        while admission.turn() is not None:
            room = admission.room(now)
            if not room:
                break
            wanted = fan_out.demand(room)
            if wanted:
                wanted = min(wanted, self._calls - fan_out.read)
                fan_out.offer(range(fan_out.read, fan_out.read + wanted))
                if fan_out.read == self._calls:
                    fan_out.end_input()
            batch = fan_out.take(now)
            if batch is None:
                admission.rest(fan_out)
                break
            if fan_out.has_delayed:
                fan_out.next_due()
            self._launch(batch)
            if not (fan_out.input_open or fan_out.has_ready):
                admission.rest(fan_out)
            if room == 1:
                break
        if admission.waits:
            admission.opens(now)

    def _launch(self, batch: Batch) -> None:
        fan_out, now = self.fan_out, self._now
        self._last += 1
        each = fan_out.pace.seconds or 1e-4
        cold = self._admission.launched(fan_out, 1, each, now)
        fan_out.launched(self._last, batch, now, cold=cold, copy_of=None)
        fan_out.sent(self._last, 1, 8)
        self._flights.append((self._last, batch, each))

    def answer(self, seconds: float) -> None:
        """Answer the oldest invocation."""
        fan_out, admission = self.fan_out, self._admission
        flight, batch, each = self._flights.popleft()
        self._now += self._step
        self.answered += 1
        admission.answered(1)
        fan_out.ran(
            flight,
            1,
            seconds,
            64,
            self._now,
            longest=None,
            cold=self.answered <= self._slots,
            final=True,
        )
        admission.corrected(fan_out, seconds - each)
        fan_out.succeeded(flight, range(1), list(batch.inputs), None)
        fan_out.delivered += 1
        if fan_out.copied:
            fan_out.losers()
        fan_out.next_due()
        self.over = fan_out.done
        admission.landed(1)
        if fan_out.input_open or fan_out.has_ready:
            admission.wake(fan_out)
