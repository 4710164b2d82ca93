"""Sets of indices, most of them next to each other: what of a job is done."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Indices:
    """A set of numbers from 0 on, kept as ranges: as long as its gaps are many, not its members."""

    def __init__(self, members: Iterable[int] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._count = 0
        for member in members:
            self.add(member)

    def add(self, index: int) -> bool:
        """Take a number in; return whether it is new."""
        starts, stops = self._starts, self._stops
        place = bisect_right(starts, index) - 1
        if place >= 0 and index < stops[place]:
            return False
        self._count += 1
        joins_left = place >= 0 and stops[place] == index
        joins_right = place + 1 < len(starts) and starts[place + 1] == index + 1
        if joins_left and joins_right:
            stops[place] = stops.pop(place + 1)
            starts.pop(place + 1)
        elif joins_left:
            stops[place] = index + 1
        elif joins_right:
            starts[place + 1] = index
        else:
            starts.insert(place + 1, index)
            stops.insert(place + 1, index + 1)
        return True

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self._starts, index) - 1
        return place >= 0 and index < self._stops[place]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        for start, stop in zip(self._starts, self._stops, strict=True):
            yield from range(start, stop)

    def first_missing(self, start: int = 0) -> int:
        """Return the smallest number from `start` on that is not in the set."""
        place = bisect_right(self._starts, start) - 1
        return max(start, self._stops[place]) if place >= 0 else start

    @property
    def end(self) -> int:
        """One more than the largest member; 0 for none."""
        return self._stops[-1] if self._stops else 0
