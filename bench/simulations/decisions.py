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

    The dispatcher's own order: take a turn, read inputs, launch while there is room; then the
    oldest invocation is answered, and so on.
    """
    chance = Random(_SEED)
    seconds = [chance.uniform(0.9, 1.1) * _SECONDS for _ in range(1000)]
    began = process_time()
    map_ = _Map(calls, slots)
    while not map_.fan_out.done:
        map_.launch()
        map_.answer(seconds[map_.answered % len(seconds)])
    took = process_time() - began
    if map_.fan_out.finished != calls:
        message = f"{map_.fan_out.finished} of {calls} calls were settled"
        raise AssertionError(message)
    return took


class _Map:
    def __init__(self, calls: int, slots: int) -> None:
        self.answered = 0
        self.fan_out = FanOut(Pace(0.5), lanes=slots, retry=Retry(), hedge=Hedge(), ordered=True)
        self._admission: Admission[FanOut] = Admission(slots, Limit())
        self._admission.join(self.fan_out, 1.0)
        self._calls = calls
        self._step = _SECONDS / slots
        self._now = 0.0
        self._flights: deque[tuple[int, Batch]] = deque()
        self._last = 0

    def launch(self) -> None:
        """Launch while there is room, as the pump does."""
        fan_out, admission, now = self.fan_out, self._admission, self._now
        admission.wake(fan_out)
        while admission.turn() is not None:
            room = admission.room(now)
            if not room:
                break
            wanted = min(fan_out.demand(room), self._calls - fan_out.read)
            if wanted > 0:
                fan_out.offer(range(fan_out.read, fan_out.read + wanted))
            if fan_out.read == self._calls:
                fan_out.end_input()
            batch = fan_out.take(now)
            if batch is None:
                admission.rest(fan_out)
                break
            self._last += 1
            cold = admission.launched(fan_out, 1, _SECONDS, now)
            fan_out.launched(self._last, batch, now, cold=cold)
            fan_out.sent(self._last, 1, 8)
            self._flights.append((self._last, batch))

    def answer(self, seconds: float) -> None:
        """Answer the oldest invocation."""
        fan_out, admission = self.fan_out, self._admission
        flight, batch = self._flights.popleft()
        self._now += self._step
        self.answered += 1
        admission.answered(1)
        fan_out.ran(flight, 1, seconds, 64, self._now)
        admission.corrected(fan_out, seconds - _SECONDS)
        fan_out.delivered += 1
        fan_out.succeeded(flight, range(len(batch.inputs)), list(batch.inputs), None)
        fan_out.next_due()
        admission.landed(1)
