"""Calls that are at several workers at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Copies:
    """Knows which invocations carry a call, for calls that were copied.

    It knows nothing of all others, which are nearly all, and costs nothing for them.
    """

    def __init__(self) -> None:
        self._carriers: dict[int, _Carriers] = {}

    def __bool__(self) -> bool:
        return bool(self._carriers)

    def add(self, indices: Iterable[int], original: int, copy: int) -> None:
        """Know that an invocation has a copy of calls of another."""
        for index in indices:
            carriers = self._carriers.get(index)
            if carriers is None:
                carriers = self._carriers[index] = _Carriers(original)
            carriers.flights.append(copy)
            carriers.ever += 1

    def ever(self, index: int) -> int:
        """Return how many invocations have carried a call since it was launched."""
        carriers = self._carriers.get(index)
        return 1 if carriers is None else carriers.ever

    def settle(self, index: int, flight: int) -> list[int]:
        """Forget a call that one invocation has settled; return the others that carry it."""
        carriers = self._carriers.pop(index, None)
        return [] if carriers is None else [each for each in carriers.flights if each != flight]

    def leave(self, index: int, flight: int, *, ran: bool) -> list[int]:
        """Know that one invocation carries a call no more; return the others that still do."""
        carriers = self._carriers.get(index)
        if carriers is None:
            return []
        carriers.flights.remove(flight)
        carriers.ever -= not ran
        if not carriers.flights:
            del self._carriers[index]
        return carriers.flights

    def dissolve(self) -> list[tuple[int, int]]:
        """Leave each call to its first carrier; return those that the others have to let go."""
        spare = [
            (index, flight)
            for index, carriers in self._carriers.items()
            for flight in carriers.flights[1:]
        ]
        self._carriers.clear()
        return spare


class _Carriers:
    """The invocations that carry a call now, and how many ever did."""

    __slots__ = ("ever", "flights")

    def __init__(self, original: int) -> None:
        self.flights = [original]
        self.ever = 1
