"""Which invocations of a fan-out take too long."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from ._flight import FRESH, LATE, SPENT, WATCHED
from ._speed import COPIES_OF_ONE, Speed

if TYPE_CHECKING:
    from ._flight import Flight, Flights
    from ._hedge import Hedge

_FEW = 64
"""So many entries in vain are not worth clearing away."""
_LEAST_COPIES = 3
_NEWS = 1.0 / 8
"""What is usual is worked out anew when so much more is known."""
_STEP = 1.0 / 64
"""What isn't late yet is looked at again after this share of its time, at the soonest."""


class Late:
    """Watches invocations, and finds those that take longer than others make believable.

    Most end before it is worth asking when they would be late. So an invocation waits in a queue at
    first, in the order of launch, which costs next to nothing. What outlives the usual has a time
    in a heap when it would be late, by what is known then; when that has come it is late indeed, or
    gets a new time. Late ones wait outside the heap, for room and for the budget.

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
        self._launched = 0
        self._fresh: deque[int] = deque()
        self._heap: list[tuple[float, int]] = []
        self._found: deque[int] = deque()
        self._old = 0
        """How many on their way aren't fresh any more."""
        self._due: float | None = None
        self._due_until = 0
        self._old_until = 0
        """`_due` holds until so much is known, or so few old ones are on their way."""
        self._measure = 0.0
        """What the times in the heap were reckoned by."""

    # -- what happens ---------------------------------------------------------------------------

    def launched(self, flight: int, entry: Flight) -> None:
        """Watch an invocation."""
        self._launched += 1
        self.copies += entry.copy
        self._fresh.append(flight)
        if self._due is None:
            self._due_until = 0
        if len(self._fresh) > _FEW + 2 * len(self._flights):
            self._fresh = deque(each for each in self._fresh if each in self._flights)

    def returned(self, flight: int, entry: Flight) -> None:
        """Know that calls of an invocation came back unrun: with the others it is late sooner."""
        if entry.left:
            self._again(flight, entry)
        elif not entry.begun:
            self._launched -= 1
            self.copies -= entry.copy

    def watch(self, flight: int, entry: Flight) -> None:
        """Know that a copy of its calls is gone: they may have another."""
        if entry.copied:
            entry.copied -= 1
        if entry.state == SPENT:
            entry.state = WATCHED
        self._again(flight, entry)

    def gone(self, entry: Flight) -> None:
        """Know that nothing is left of an invocation."""
        if self._due is None:
            self._due_until = 0  # with fewer at work, those that have ended may be enough
        if entry.state != FRESH:
            self._old -= 1
            if self._old < self._old_until:
                self._due_until = 0

    def forget(self) -> None:
        """Know that nothing is on its way any more."""
        self._fresh.clear()
        self._heap.clear()
        self._found.clear()
        self._old = self._old_until = self._due_until = 0

    def ran(
        self, entry: Flight, calls: int, busy: float, longest: float | None, now: float
    ) -> None:
        """Learn how long some calls took, or the longest of those that ran at once."""
        if longest is not None:
            self.speed.together = True
            if not longest:
                return  # none of them ended well
            entry.busy = max(entry.busy, longest)
            self.speed.ran(entry, longest)
            return
        self.speed.ran(entry, busy / calls)
        entry.busy += busy
        if calls < entry.left:
            entry.since, entry.begun = now, True

    def landed(self, entry: Flight, now: float, *, cold: bool) -> None:
        """Learn that an invocation is over."""
        self.speed.came(now - entry.launched - entry.busy, cold=cold)

    def began(self, flight: int, entry: Flight, at: float) -> None:
        """Learn since when the calls of an invocation run: its worker's start is over."""
        if not entry.begun:
            entry.since, entry.begun = max(at, entry.launched), True
            if entry.mark is None:
                entry.mark = 0, entry.since, 0.0
            self._again(flight, entry)

    def progressed(
        self, flight: int, entry: Flight, place: int, share: float, now: float, at: float
    ) -> bool:
        """Learn how far a call was at some time; return whether that makes its invocation late.

        Its speed is that from its first mark to the present one: what was before the first may have
        been the start of its worker. Where it is known when the first call began, that is a mark.
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
        foreseen = self.next_due() is not None
        entry.ends = at + (1.0 - share) * whole + self.speed.left(entry, place)
        if entry.state > WATCHED or not foreseen or self._due_of(entry) > now:
            return False
        self._find(flight, entry)
        return True

    # -- what follows ---------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """Return when it is worth looking for late ones, or None: nothing can be said yet."""
        if self.speed.count >= self._due_until:
            self._reckon()
        return self._due if self._flights else None

    def look(self, now: float) -> bool:
        """Find those that are late by now; return whether any wait for a copy."""
        self._due_until = 0
        if not self._foresees:
            return bool(self._found)
        flights, fresh, heap, speed = self._flights, self._fresh, self._heap, self.speed
        speed.fit(self._old)
        # A little too soon for the youngest of them, so that they come many at a time.
        launched = now - (1.0 - _NEWS) * speed.soonest
        while fresh and ((entry := flights.get(fresh[0])) is None or entry.launched <= launched):
            flight = fresh.popleft()
            if entry is not None and entry.state == FRESH:
                entry.state = WATCHED
                self._old += 1
                heappush(heap, (now, flight))
        speed.fit(self._old)
        step = now + _STEP * speed.soonest
        while heap and heap[0][0] <= now:
            looked, flight = heappop(heap)
            entry = flights.get(flight)
            if entry is None or entry.state != WATCHED:
                continue
            due = self._due_of(entry)
            if due <= now:
                self._find(flight, entry)
            else:
                # It may be so soon only if it is looked at for the first time.
                heappush(heap, (due if looked == now else max(due, step), flight))
        return bool(self._found)

    def take(self, now: float) -> int | None:
        """Return an invocation that is late and is to be copied now, or None."""
        while self._found and self.copies < self.allowed:
            flight = self._found.popleft()
            entry = self._flights.get(flight)
            if entry is None or entry.state != LATE:
                continue
            self._due_until = 0
            if entry.ends is not None and now < entry.ends < now + self.speed.usual(entry):
                entry.state = WATCHED  # it has nearly ended while it waited for its copy
                heappush(self._heap, (entry.ends, flight))
                continue
            entry.copied += 1
            entry.state = SPENT
            if entry.copied < COPIES_OF_ONE:
                entry.state = WATCHED
                self._again(flight, entry)
            return flight
        return None

    @property
    def allowed(self) -> int:
        """How many copies may be launched in all."""
        return max(_LEAST_COPIES, int(self.policy.share * self._launched))

    @property
    def _foresees(self) -> bool:
        return self.speed.foresees(len(self._flights), self._old)

    def _reckon(self) -> None:
        speed, flights, heap, fresh = self.speed, self._flights, self._heap, self._fresh
        self._due, self._due_until = None, speed.count + 1
        if not self._foresees:
            return
        self._due_until += int(_NEWS * speed.count)
        self._old_until = int((1.0 - _NEWS) * self._old)
        speed.fit(self._old)
        measure = speed.yardstick
        if measure < (1.0 - _STEP) * self._measure:
            heap[:] = [
                (self._due_of(entry), flight)
                for flight, entry in flights.items()
                if entry.state == WATCHED
            ]
            heapify(heap)
        self._measure = measure
        while heap and ((entry := flights.get(heap[0][1])) is None or entry.state != WATCHED):
            heappop(heap)
        while fresh and ((entry := flights.get(fresh[0])) is None or entry.state != FRESH):
            fresh.popleft()
        if heap:
            self._due = heap[0][0]
        if fresh:
            due = flights[fresh[0]].launched + speed.soonest
            self._due = due if self._due is None else min(due, self._due)

    def _again(self, flight: int, entry: Flight) -> None:
        """Reckon anew when an invocation is late, after something has changed."""
        if entry.state == WATCHED:
            self._due_until = 0
            heappush(self._heap, (self._due_of(entry), flight))

    def _find(self, flight: int, entry: Flight) -> None:
        if entry.state == FRESH:
            self._old += 1
        entry.state = LATE
        self._found.append(flight)

    def _due_of(self, entry: Flight) -> float:
        speed, policy = self.speed, self.policy
        due = entry.since + max(policy.least, speed.late(entry))
        heard = entry.heard[0]
        if entry.ends is not None:
            if entry.ends - heard > max(policy.least, policy.factor * speed.usual(entry)):
                return heard  # by its own words, a copy would have been faster
            due = max(due, entry.since + policy.factor * (entry.ends - entry.since))
        silence = speed.silence(entry)
        if silence is None:
            return due
        return min(due, max(heard, entry.since) + max(policy.least, silence))
