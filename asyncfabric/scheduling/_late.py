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
_HEADROOM = 1.5
"""Copies are allowed for so many times the share of invocations that were seen late."""
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
        self._copied: deque[int] = deque()
        """Late ones with one copy each."""
        self._good = 0
        """Invocations that are neither late nor copies."""
        self._launched = self._landed = self._slow = 0

    # -- what happens ---------------------------------------------------------------------------

    def launched(self, flight: int, entry: Flight) -> None:
        """Watch an invocation."""
        self._launched += 1
        self.copies += entry.copy
        self._good += not entry.copy
        self.watch(flight, entry)

    def returned(self, flight: int, entry: Flight) -> None:
        """Know that calls of an invocation came back unrun: with the others it is late sooner."""
        if entry.left:
            self.watch(flight, entry)
        elif not entry.begun:
            self._launched -= 1
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
        if entry.state == WATCHED and self._measure is not None:
            self._slow += now - entry.since > self._longest(entry)
        self.speed.came(max(0.0, now - entry.launched - entry.busy), cold=cold)

    def progressed(self, flight: int, entry: Flight, place: int, share: float, now: float) -> bool:
        """Learn how far a call is; return whether that makes its invocation late.

        Its speed is that from its first mark to the present one: what was before the first may have
        been the start of its worker.
        """
        mark = entry.mark
        if mark is None or mark[0] != place:
            entry.mark, entry.ends = (place, now, share), None
            return False
        _, since, begun = mark
        if share <= begun or now <= since:
            return False
        whole = (now - since) / (share - begun)
        if entry.ends is None:
            self.speed.foretold(whole)
        left = (1.0 - share) * whole
        entry.ends = now + left + self.speed.left(entry)
        if entry.state != WATCHED or not self.speed.foresees(len(self._flights)):
            return False
        worth = max(self.policy.least, self.policy.factor * self.speed.usual(entry))
        late = entry.ends - now > worth
        if late:
            self._find(flight, entry)
        return late

    # -- what follows ---------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """Return when it is worth looking for late ones, or None: nothing can be said yet."""
        if not self.speed.knows(len(self._flights)):
            return None
        if self._copied and self.only_late and self.copies < self.allowed:
            return 0.0
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
        while (due := self.next_due()) is not None and 0.0 < due <= now:
            _, flight = heappop(self._heap)
            entry = self._flights[flight]
            due = self._due(entry)
            if due <= now:
                self._find(flight, entry)
            else:
                heappush(self._heap, (max(due, now + _STEP * (due - entry.since)), flight))
        return bool(self._found) or due == 0.0

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
            self._copied.append(flight)
            return flight
        while self._copied and self.only_late and self.copies < self.allowed:
            flight = self._copied.popleft()
            if flight in self._flights:
                return flight
        return None

    @property
    def only_late(self) -> bool:
        """Whether little else is left to wait for than what is late.

        Then a copy that turns out slow itself would hold everything up, so there are two.
        """
        return 2 * self._good <= len(self._flights)

    @property
    def allowed(self) -> int:
        """How many copies may be launched in all."""
        seen = max(1, self._landed + len(self._found))
        share = min(self.policy.share, _HEADROOM * self._slow / seen)
        return max(_LEAST_COPIES, int(share * self._launched))

    def _find(self, flight: int, entry: Flight) -> None:
        entry.state = LATE
        self._good -= not entry.copy
        self._slow += 1
        self._found.append(flight)

    def _longest(self, entry: Flight) -> float:
        return max(self.policy.least, self.policy.factor * self.speed.high(entry))

    def _due(self, entry: Flight) -> float:
        due = entry.since + self._longest(entry)
        if entry.ends is not None:
            due = max(due, entry.since + self.policy.factor * (entry.ends - entry.since))
        return due

    def _order(self) -> None:
        self._heap = [
            (self._due(entry), flight)
            for flight, entry in self._flights.items()
            if entry.state == WATCHED
        ]
        heapify(self._heap)
