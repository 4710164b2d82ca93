"""Which invocations of a fan-out take too long."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from ._flight import COPIED, LATE, WATCHED
from ._speed import Speed

if TYPE_CHECKING:
    from ._flight import Flight, Flights
    from ._hedge import Hedge

_FEW = 64
"""So many entries in vain are not worth clearing away."""
_LEAST_COPIES = 3
_HEADROOM = 4.0
"""Copies are allowed for so many times the share of invocations that were seen late: two for each,
and some whose lateness is another's bad luck."""
_FALLEN = 0.9
_STEP = 1.0 / 64
"""What is looked at too early is looked at again after this share of its expected time."""


class Late:
    """Watches invocations, and finds those that outlive what was to be expected.

    When an invocation will be late depends on how long others took, which changes all the time. So
    each has a time in a heap when it is worth looking at; those that are not late then get another.
    If calls turn out faster than they seemed, the heap is made anew.

    Args:
        policy: see `Hedge`.
        flights: the invocations that are on their way.

    Attributes:
        speed: how long calls take.
        copies: invocations that were launched as copies.
    """

    def __init__(self, policy: Hedge, flights: Flights) -> None:
        self.policy = policy
        self.speed = Speed(policy)
        self.copies = 0
        self._flights = flights
        self._heap: list[tuple[float, int]] = []
        self._measure: float | None = None
        """What the times in the heap were reckoned by."""
        self._found: deque[int] = deque()
        self._again: deque[int] = deque()
        """Those that were copied just now, to be copied once more if the budget allows it."""
        self._good = 0
        """Invocations that are neither late nor copies."""
        self._launched = self._cold = self._landed = self._slow = 0
        self._most = 0
        """Invocations on their way at a time at most, so far."""
        self._excused = 0.0
        """Late ones to be expected because workers take long to start."""

    # -- what happens ---------------------------------------------------------------------------

    def launched(self, flight: int, entry: Flight) -> None:
        """Watch an invocation."""
        self._launched += 1
        self._most = max(self._most, len(self._flights))
        self.copies += entry.copy
        self._cold += entry.cold
        self._good += not entry.copy
        self.watch(flight, entry)

    def returned(self, flight: int, entry: Flight) -> None:
        """Know that calls of an invocation came back unrun: with the others it is late sooner."""
        if entry.left:
            self.watch(flight, entry)
        elif not entry.begun:
            self._launched -= 1
            self._cold -= entry.cold
            self.copies -= entry.copy

    def watch(self, flight: int, entry: Flight) -> None:
        """Watch an invocation, or watch it anew after something has changed."""
        if entry.state != WATCHED:
            entry.state = WATCHED
            self._good += not entry.copy
        if self._measure is not None:
            heappush(self._heap, (self._due(entry), flight))
            if len(self._heap) > _FEW + 2 * len(self._flights):
                self._order()

    def gone(self, entry: Flight) -> None:
        """Know that nothing is left of an invocation."""
        if entry.state == WATCHED:
            self._good -= not entry.copy

    def forget(self) -> None:
        """Know that nothing is on its way any more."""
        self._heap.clear()
        self._found.clear()
        self._again.clear()
        self._good = 0

    def ran(
        self, entry: Flight, calls: int, busy: float, longest: float | None, now: float
    ) -> None:
        """Learn how long some calls took, or the longest of those that ran at once."""
        if longest is not None:
            self.speed.together = True
            entry.busy = max(entry.busy, longest)
            self.speed.ran(entry, calls, longest)
            return
        self.speed.ran(entry, calls, busy / calls)
        entry.busy += busy
        if calls < entry.left:
            entry.since, entry.begun = now, True

    def landed(self, entry: Flight, now: float, *, cold: bool) -> None:
        """Learn that an invocation is over."""
        self._landed += 1
        seconds = now - entry.since
        if seconds > self.policy.least and entry.state == WATCHED and self._measure is not None:
            self._slow += seconds > self.speed.late(entry)
        self.speed.came(max(0.0, now - entry.launched - entry.busy), cold=cold)

    def began(self, flight: int, entry: Flight, at: float) -> None:
        """Learn since when the calls of an invocation run: its worker's start is over."""
        if not entry.begun:
            entry.since, entry.begun = max(at, entry.launched), True
            if entry.state == WATCHED:
                self.watch(flight, entry)

    def progressed(
        self, flight: int, entry: Flight, place: int, share: float, now: float, at: float
    ) -> bool:
        """Learn how far a call was at some time; return whether that makes its invocation late.

        Its speed is that from its first mark to the present one: what was before the first may have
        been the start of its worker.
        """
        if now > entry.heard[0]:
            self.speed.heard(now - entry.heard[0])
        entry.heard = now, share
        mark = entry.mark
        if mark is None or mark[0] != place:
            entry.mark, entry.ends = (place, at, share), None
            return False
        _, since, begun = mark
        if share <= begun or at <= since:
            return False
        whole = (at - since) / (share - begun)
        if entry.ends is None:
            self.speed.foretold(whole)
        left = (1.0 - share) * whole + self.speed.left(entry, place) - (now - at)
        entry.ends = now + left
        late = (
            entry.state == WATCHED
            and self.speed.foresees(len(self._flights))
            and left > max(self.policy.least, self.policy.factor * self.speed.usual(entry))
        )
        if late:
            self._find(flight, entry)
        return late

    # -- what follows ---------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """Return when it is worth looking for late ones, or None: nothing can be said yet."""
        if not self.speed.foresees(len(self._flights)):
            return None
        measure = self.speed.yardstick
        if self._measure is None or measure < _FALLEN * self._measure:
            self._measure = measure
            self._order()
        heap, flights = self._heap, self._flights
        while heap and ((entry := flights.get(heap[0][1])) is None or entry.state != WATCHED):
            heappop(heap)
        return heap[0][0] if heap else None

    def look(self, now: float) -> bool:
        """Find those that are late by now; return whether any wait for a copy."""
        due = self.next_due()
        candidates: dict[int, Flight] = {}
        while due is not None and due <= now:
            flight = heappop(self._heap)[1]
            candidates[flight] = self._flights[flight]
            due = self.next_due()
        if candidates:
            # Had they finished, the quantiles would be higher.
            self.speed.reckon_with(len(candidates) + len(self._flights) - self._good)
        for flight, entry in candidates.items():
            when = self._due(entry)
            if when <= now:
                self._find(flight, entry)
                if entry.cold:
                    self._excused = self._cold * self.speed.excuse(entry, now - entry.since)
            else:
                when = max(when, now + _STEP * (when - entry.since))
                heappush(self._heap, (when, flight))
        return bool(self._found)

    def take(self, now: float) -> int | None:
        """Return an invocation that is late and is to be copied now, or None."""
        while self._found and self.copies < self.allowed:
            flight = self._found.popleft()
            entry = self._flights.get(flight)
            if entry is None or entry.state != LATE:
                continue
            if entry.ends is not None and entry.ends - now < self.speed.usual(entry):
                self.watch(flight, entry)  # it has nearly ended while it waited for its copy
                continue
            entry.state = COPIED
            if self.speed.told or 2 * len(self._flights) <= self._most:
                # Calls tell how they get on, so it is certain that it is slow; or the end is near.
                # Then a copy that turned out slow itself would hold everything up.
                self._again.append(flight)
            return flight
        while self._again and self.copies < self.allowed:
            flight = self._again.popleft()
            if flight in self._flights:
                return flight
        self._again.clear()
        return None

    @property
    def allowed(self) -> int:
        """How many copies may be launched in all."""
        seen = max(1, self._landed + len(self._found))
        share = min(self.policy.share, _HEADROOM * (self._slow - self._excused) / seen)
        return max(_LEAST_COPIES, int(share * self._launched))

    def _find(self, flight: int, entry: Flight) -> None:
        entry.state = LATE
        self._good -= not entry.copy
        self._slow += 1
        self._found.append(flight)

    def _due(self, entry: Flight) -> float:
        due = entry.since + max(self.policy.least, self.speed.late(entry))
        if entry.ends is not None:
            due = max(due, entry.since + self.policy.factor * (entry.ends - entry.since))
        if not self.speed.told:
            return due
        heard, share = entry.heard
        silence = self.speed.silence(entry, share)
        return (
            due
            if silence is None
            else min(due, max(heard, entry.since) + max(self.policy.least, silence))
        )

    def _order(self) -> None:
        self._heap = [
            (self._due(entry), flight)
            for flight, entry in self._flights.items()
            if entry.state == WATCHED
        ]
        heapify(self._heap)
