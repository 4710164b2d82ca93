"""An invocation on its way, and which of its calls are answered."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._batch import Batch

# what a byte says of a call
_SETTLED, _OPEN, _ANSWERED = range(3)
_EACH_OPEN = bytes([_OPEN])
# how an invocation gets on: it is new; it takes its time; it takes too long; no more is to be done
FRESH, WATCHED, LATE, SPENT = range(4)


class Flight:
    """One invocation.

    A call of it is open until it is answered or comes back; between its answer and its settlement
    (large results take a while to be read) it can't come back any more.

    Args:
        batch: its calls.
        now: when it is launched.
        cold: it may need a new worker.
        copy: its calls are at another worker already.

    Attributes:
        batch: its calls.
        left: how many of them are not settled.
        launched: when it was launched, in seconds of the shell's clock.
        since: since when its worker has been at what is left.
        begun: calls of it were answered, so its worker is there.
        cold: it may have needed a new worker.
        copy: its calls were at another worker already.
        busy: seconds that the answered calls took.
        size: bytes of input of a call, on average; 0 where that is not known.
        state: whether it is late.
        copied: how many copies it was given.
        mark: the first progress that its present call told of: place, time and share.
        heard: when the last was told of, and what share it was.
        ends: when it will end, by the progress that was told of; None without any.
    """

    # For most invocations these never change.
    begun = False
    busy: float = 0.0
    size: float = 0.0
    state = FRESH
    copied = 0
    mark: tuple[int, float, float] | None = None
    ends: float | None = None

    def __init__(
        self, batch: Batch, now: float = 0.0, *, cold: bool = False, copy: bool = False
    ) -> None:
        self.batch = batch
        self.left: int = len(batch.inputs)
        self.launched: float = now
        self.since: float = now
        self.cold = cold
        self.copy = copy
        self.heard: tuple[float, float] = now, 0.0
        self._states = bytearray(_EACH_OPEN * self.left)

    def holds(self, position: int) -> bool:
        """Tell whether the call at a position is not settled."""
        return self._states[position] != _SETTLED

    def answer(self, positions: Iterable[int]) -> None:
        """Know that calls are answered and will be settled."""
        for position in positions:
            if self._states[position] == _OPEN:
                self._states[position] = _ANSWERED

    def close(self, position: int) -> None:
        """Let go of one call."""
        self._states[position] = _SETTLED
        self.left -= 1

    def close_run(self, start: int, stop: int) -> None:
        """Let go of the calls from one position to before another."""
        self._states[start:stop] = bytes(stop - start)
        self.left -= stop - start

    def is_answered_by(self, positions: Sequence[int]) -> bool:
        """Tell whether these positions are all of its calls, unsettled, and neighbours by index."""
        count = len(positions)
        return count == self.left == len(self._states) and (
            count == 1 or (isinstance(positions, range) and isinstance(self.batch.indices, range))
        )

    def open_positions(self) -> list[int]:
        """Return the positions of the calls that are not answered."""
        return [place for place, state in enumerate(self._states) if state == _OPEN]

    def open_among(self, positions: Iterable[int]) -> list[int]:
        """Return those of some positions whose calls are not answered, ascending."""
        states = self._states
        return sorted(place for place in positions if states[place] == _OPEN)

    def unsettled(self) -> Batch:
        """Return the calls that are not settled, of which there is at least one."""
        return self.batch.pick([place for place, state in enumerate(self._states) if state])

    def place_of(self, index: int) -> int | None:
        """Return the position of a call by its index, if it is here and not settled."""
        indices = self.batch.indices
        if isinstance(indices, range):
            place = index - indices.start
            found = 0 <= place < len(indices)
        else:
            place = bisect_left(indices, index)
            found = place < len(indices) and indices[place] == index
        return place if found and self.holds(place) else None

    def runs(self, positions: Sequence[int]) -> list[tuple[int, int]]:
        """Cut positions into runs of unsettled calls that are neighbours here and by index.

        Returns pairs of places in `positions`: where a run starts, and where it has ended.
        """
        states, indices = self._states, self.batch.indices
        count = len(positions)
        if (
            isinstance(positions, range)
            and isinstance(indices, range)
            and states.find(_SETTLED, positions.start, positions.stop) < 0
        ):
            return [(0, count)]
        runs: list[tuple[int, int]] = []
        start = 0
        before_position = before_index = -2
        for place, position in enumerate(positions):
            if states[position] == _SETTLED:
                # It was cancelled while it ran; nobody waits for it any more.
                if start < place:
                    runs.append((start, place))
                start = place + 1
                continue
            index = indices[position]
            if start < place and (position != before_position + 1 or index != before_index + 1):
                runs.append((start, place))
                start = place
            before_position, before_index = position, index
        if start < count:
            runs.append((start, count))
        return runs


class Flights(dict[int, Flight]):
    """The invocations of a fan-out that are on their way, by number.

    Which of them have a call is listed from the first time on that it is asked for: who cancels
    one of thousands may cancel them all. What has ended since the launch is never listed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._carriers: dict[int, list[int]] = {}
        self._unlisted: dict[int, None] | None = None

    def __setitem__(self, flight: int, entry: Flight) -> None:
        super().__setitem__(flight, entry)
        if self._unlisted is not None:
            self._unlisted[flight] = None

    def __delitem__(self, flight: int) -> None:
        if self._unlisted is not None and self._unlisted.pop(flight, self) is self:
            for index in self[flight].batch.indices:
                carriers = self._carriers[index]
                carriers.remove(flight)
                if not carriers:
                    del self._carriers[index]
        super().__delitem__(flight)

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self._carriers.clear()
        self._unlisted = None

    def call_at(self, flight: int, position: int) -> tuple[int, Any, int] | None:
        """Return index, input and attempt number of a call that is not settled, or None."""
        entry = self.get(flight)
        if entry is None or not entry.holds(position):
            return None
        return entry.batch.call(position)

    def index_of(self, flight: int, position: int) -> int | None:
        """Return the index of a call, or None if the invocation is over."""
        entry = self.get(flight)
        return None if entry is None else entry.batch.indices[position]

    def open_positions(self, flight: int) -> list[int]:
        """Return the positions of an invocation that are not answered yet."""
        entry = self.get(flight)
        return [] if entry is None else entry.open_positions()

    def find(self, index: int) -> tuple[int, int] | None:
        """Return the invocation and the place there of a call by its index, or None."""
        if self._unlisted is None:
            self._unlisted = dict.fromkeys(self)
        for flight in self._unlisted:
            for each in self[flight].batch.indices:
                self._carriers.setdefault(each, []).append(flight)
        self._unlisted.clear()
        for flight in self._carriers.get(index, ()):
            position = self[flight].place_of(index)
            if position is not None:
                return flight, position
        return None
