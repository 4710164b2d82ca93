"""A toy of a service that throttles, and of the shell: FanOuts and one Admission against it."""

import math
import random
from heapq import heappop, heappush

from asyncfabric.scheduling import Admission, Batch, Block, FanOut, Hedge, Limit, Pace, Retry

_NOBODY = -1


class Lost(Exception):
    """What became of an attempt."""


class Service:
    """Takes `limit` invocations at a time; each takes about a second.

    Args:
        seed: what all chances are drawn from.
        limit: as above; may be changed.
        most: what the admission may launch at a time.
        failures: share of the attempts that are lost.
        slow: share of those that take ten times as long.
    """

    def __init__(
        self, seed: int, limit: int, most: int, *, failures: float = 0.0, slow: float = 0.0
    ) -> None:
        self.random = random.Random(seed)
        self.limit, self.most = limit, most
        self.failures, self.slow = failures, slow
        self.admission: Admission[int] = Admission(most, Limit(start=most))
        self.fan_outs: list[FanOut] = []
        self.results: list[dict[int, int]] = []
        self.order: list[list[int]] = []
        self.now = 0.0
        self.running = self.launched = self.refused = self.copies = 0
        self.in_use: list[tuple[float, int]] = []
        self._events: list[tuple[float, int, str]] = []
        self._alarms: dict[int, float] = {}
        self._flights: dict[int, tuple[int, int]] = {}

    def add(self, calls: int, *, ordered: bool = False, retry: Retry | None = None) -> None:
        """Add a map."""
        number = len(self.fan_outs)
        fan_out = FanOut(
            Pace(), lanes=self.most, chunksize=1, retry=retry, hedge=Hedge(), ordered=ordered
        )
        fan_out.budget = self.admission.budget
        fan_out.offer(range(calls))
        fan_out.end_input()
        self.fan_outs.append(fan_out)
        self.results.append({})
        self.order.append([])
        self.admission.join(number, 1.0)
        self.admission.wake(number)

    def run(self, until: float = 1e9) -> None:
        """Run until everything is done, or the time has come."""
        self._pump()
        while self._events and self._events[0][0] < until:
            self.now, number, what = heappop(self._events)
            if what == "alarm":
                self._alarmed(number)
            else:
                self._end(number, what)
            self._pump()

    def cancel(self, number: int) -> None:
        """Stop a map; what it has at the service runs on."""
        self.fan_outs[number].stop()
        self.admission.leave(number)

    # -- the shell ------------------------------------------------------------------------------

    def _pump(self) -> None:
        admission = self.admission
        while (number := admission.turn()) is not None:
            if not admission.room(self.now):
                break
            batch = self.fan_outs[number].take(self.now)
            if batch is None:
                admission.rest(number)
                continue
            self._launch(number, batch)
        else:
            for number, fan_out in enumerate(self.fan_outs):
                while admission.room(self.now) and (found := fan_out.copy(self.now)) is not None:
                    self.copies += 1
                    self._launch(number, found[1], found[0])
        for number, fan_out in enumerate(self.fan_outs):
            due = fan_out.next_due()
            if due is not None and not fan_out.stopped:
                self._later(max(due, self.now + 1e-3), number)
        if admission.waits and (opens := admission.opens(self.now)) is not None:
            self._later(opens, _NOBODY)

    def _later(self, when: float, number: int) -> None:
        if when < self._alarms.get(number, math.inf):
            self._alarms[number] = when
            heappush(self._events, (when, number, "alarm"))

    def _alarmed(self, number: int) -> None:
        if self._alarms.get(number) == self.now:
            del self._alarms[number]
            if number != _NOBODY:
                self.fan_outs[number].look(self.now)
                self.admission.wake(number)

    def _launch(self, number: int, batch: Batch, copy_of: int | None = None) -> None:
        self.launched += 1
        flight = self.launched
        self._flights[flight] = number, batch.indices[0]
        cold = self.admission.launched(number, 1, 1.0, self.now)
        assert self.admission.in_flight <= self.most
        self.fan_outs[number].launched(flight, batch, self.now, cold=cold, copy_of=copy_of)
        if self.running >= self.limit:
            heappush(self._events, (self.now + 0.02, flight, "refused"))
            return
        self.running += 1
        chance = self.random.random()
        seconds = self.random.uniform(0.9, 1.1) * (10.0 if chance < self.slow else 1.0)
        what = "lost" if self.random.random() < self.failures else "answered"
        heappush(self._events, (self.now + seconds, flight, what))

    def _end(self, flight: int, what: str) -> None:
        number, index = self._flights.pop(flight)
        fan_out, admission = self.fan_outs[number], self.admission
        if what == "refused":
            self.refused += 1
            admission.landed(1)
            fan_out.returned(flight, None)
            assert admission.refused(self.now, "concurrency", self.random.random())
        else:
            self.running -= 1
            self.in_use.append((self.now, self.running))
            if what == "answered":
                admission.answered(1)
                fan_out.ran(flight, 1, 1.0, 0, self.now)
                self._deliver(number, fan_out.succeeded(flight, [0], [-index], None))
            else:
                error, chance = Lost(), self.random.random()
                blocks = fan_out.failed(
                    flight, 0, error, retryable=True, now=self.now, chance=chance
                )
                self._deliver(number, blocks or [])
            admission.landed(1)
        fan_out.losers()  # they run on, as on Lambda
        if fan_out.has_ready:
            admission.wake(number)

    def _deliver(self, number: int, blocks: list[Block]) -> None:
        for block in blocks:
            assert block.first not in self.results[number], "delivered twice"
            self.results[number][block.first] = block.values[0] if block.values else 1
            self.order[number].append(block.first)
