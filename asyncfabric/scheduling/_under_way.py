"""What a fan-out has at the workers: each call once, or, where it takes too long, several times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._copies import Copies
from ._flight import Flight, Flights
from ._intake import Intake
from ._late import Late

if TYPE_CHECKING:
    from ._batch import Batch
    from ._hedge import Hedge
    from ._pace import Pace


class UnderWay(Intake):
    """What of a fan-out is launched and not settled.

    Args:
        pace: what is known of the function's speed; learned from.
        lanes: how many invocations the backend runs side by side.
        chunksize: calls in an invocation; None adapts it.
        hedge: which late calls get a copy; None copies nothing.

    Attributes:
        attempts: executions that were begun, or may have been.
        copied: those of them that were begun as copies.
        in_flight: calls at the workers, copies included.
        flights: the invocations that carry them.
    """

    def __init__(self, pace: Pace, lanes: int, chunksize: int | None, hedge: Hedge | None) -> None:
        super().__init__(pace, lanes, chunksize)
        self.attempts: int = 0
        self.copied: int = 0
        self.in_flight: int = 0
        self.flights: Flights = Flights()
        self._late = None if hedge is None else Late(hedge, self.flights)
        self._copies = Copies()
        self._losers: list[tuple[int, int | None]] = []

    # -- launching ------------------------------------------------------------------------------

    def take(self, now: float, most: int | None = None) -> Batch | None:
        """Return the next invocation's calls, at most `most` of them, or None.

        What is due by `now`, in seconds of the caller's clock, can go.
        """
        if self.stopped:
            return None
        chunk = self.chunk()
        return self._queue.take(now, chunk if most is None else min(most, chunk), self._halted_at)

    def copy(self, now: float, most: int | None = None) -> tuple[int, Batch] | None:
        """Return a late invocation and those of its calls to launch once more, or None.

        To be asked for when there is room and nothing else to launch.
        """
        late = self._late
        if late is None or self.stopped:
            return None
        while (flight := late.take(now)) is not None:
            batch = self.flights[flight].batch
            worth = [
                place
                for place in self.flights.open_positions(flight)
                if self._copies.ever(batch.indices[place]) < late.policy.copies
                and (self._halted_at is None or batch.indices[place] < self._halted_at)
            ]
            if worth:
                return flight, batch.pick(worth if most is None else worth[:most])
        return None

    def launched(
        self,
        flight: int,
        batch: Batch,
        now: float = 0.0,
        *,
        cold: bool = False,
        copy_of: int | None = None,
    ) -> None:
        """Know that an invocation is on its way, by a number that was never used before.

        Args:
            flight: the number.
            batch: its calls.
            now: the time, in seconds of the caller's clock.
            cold: it may need a new worker.
            copy_of: the invocation that has these calls already, for a copy.
        """
        self.flights[flight] = entry = Flight(batch, now, cold=cold, copy=copy_of is not None)
        self.in_flight += entry.left
        self.attempts += entry.left
        if copy_of is not None:
            self.copied += entry.left
            self._copies.add(batch.indices, copy_of, flight)
        if self._late is not None:
            self._late.launched(flight, entry)

    def found(self, flight: int, batch: Batch) -> None:
        """Know that calls need no worker: their results are there, and are being fetched.

        `flight` is a number that was never used before.
        """
        self.flights[flight] = entry = Flight(batch)
        entry.answer(range(entry.left))
        self.in_flight += entry.left

    def sent(self, flight: int, calls: int, size: int) -> None:
        """Learn how many bytes the inputs of an invocation have."""
        self.pace.sent(calls, size)
        entry = self.flights.get(flight)
        if entry is not None:
            entry.size = size / calls

    def next_due(self) -> float | None:
        """Return when something is to be done: a delayed call to launch, or a late one to copy."""
        queue = self._queue
        due = queue.next_due
        if self._late is None or self._launchable:
            return due
        late = self._late.next_due()
        return late if due is None else due if late is None else min(due, late)

    def look(self, now: float) -> bool:
        """Look for late invocations; return whether any waits to be copied."""
        return self._late is not None and self._late.look(now)

    # -- what is learned ----------------------------------------------------------------------

    def ran(
        self,
        flight: int,
        calls: int,
        busy: float,
        result_bytes: int,
        now: float = 0.0,
        *,
        stored: float = 0.0,
        longest: float | None = None,
        cold: bool = False,
        final: bool = True,
    ) -> None:
        """Learn from answers, before they are settled.

        Args:
            flight: the invocation.
            calls: how many are answered, at least one.
            busy: seconds that they kept the worker busy.
            result_bytes: size of the answers.
            now: the time, in seconds of the caller's clock.
            stored: how many of those seconds it waited for the store, which takes many results in
                the time of one: that is no reason to send fewer calls together.
            longest: for calls that run at the same time, what the longest took.
            cold: it was the worker's first invocation.
            final: the invocation is over.
        """
        self.pace.ran(calls, max(0.0, busy - stored), result_bytes)
        if self._late is not None and (entry := self.flights.get(flight)) is not None:
            self._late.ran(entry, calls, busy, longest, now)
            if final or entry.left <= calls:
                self._late.landed(entry, now, cold=cold)

    def began(self, flight: int, at: float) -> None:
        """Learn since when the calls of an invocation run."""
        if self._late is not None and (entry := self.flights.get(flight)) is not None:
            self._late.began(flight, entry, at)

    def progressed(
        self, flight: int, position: int, fraction: float, now: float, at: float | None = None
    ) -> bool:
        """Learn how far a running call was at some time; return whether that makes it late."""
        entry = self.flights.get(flight)
        if self._late is None or entry is None or not entry.holds(position):
            return False
        at = now if at is None else at
        return self._late.progressed(flight, entry, position, fraction, now, at)

    # -- copies ---------------------------------------------------------------------------------

    def losers(self) -> list[tuple[int, int | None]]:
        """Give out the invocations, and places there, of calls that another copy has settled.

        None for the place stands for all of the invocation.
        """
        if not self._losers:
            return []
        losers, self._losers = self._losers, []
        return losers

    def _outrun(self, index: int, winner: int) -> None:
        """Let go of a call everywhere else."""
        for flight in self._copies.settle(index, winner):
            self._let_go(index, flight)

    def _let_go(self, index: int, flight: int) -> None:
        entry = self.flights[flight]
        position = entry.place_of(index)
        assert position is not None  # noqa: S101 - else it would not be among the carriers
        entry.close(position)
        self._landed(flight, entry, 1)
        self._losers.append((flight, position if entry.left else None))

    def _runs_on(self, index: int, flight: int, *, ran: bool) -> bool:
        """Take a call from an invocation; tell whether another one has it still."""
        others = self._copies.leave(index, flight, ran=ran)
        for other in others:
            if self._late is not None:
                self._late.watch(other, self.flights[other])  # it may be worth another copy
        return bool(others)

    def _is_copied_out(self, index: int) -> bool:
        """Tell whether a call has been at as many places as it may be."""
        return self._late is None or self._copies.ever(index) >= self._late.policy.copies

    def _landed(self, flight: int, entry: Flight, count: int) -> None:
        self.in_flight -= count
        if not entry.left:
            del self.flights[flight]
            if self._late is not None:
                self._late.gone(entry)

    def _returned(self, flight: int, entry: Flight, positions: list[int]) -> None:
        """Let go of calls that came back unrun."""
        for position in positions:
            entry.close(position)
        self.attempts -= len(positions)
        if entry.copy:
            self.copied -= len(positions)
        self._landed(flight, entry, len(positions))
        if self._late is not None:
            self._late.returned(flight, entry)

    def _abandon(self) -> list[Batch]:
        """Let go of all that is under way; return each call once."""
        for index, flight in self._copies.dissolve():
            self._let_go(index, flight)
        self._losers.clear()
        left = [entry.unsettled() for entry in self.flights.values()]
        self.flights.clear()
        self.in_flight = 0
        if self._late is not None:
            self._late.forget()
        return left
