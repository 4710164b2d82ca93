"""Which invocation has a call: found at once, however many there are."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric.scheduling._batch import Batch
from asyncfabric.scheduling._flight import Flight, Flights


def _flight(indices: Sequence[int]) -> Flight:
    return Flight(Batch(indices, list(indices), 1))


def _looked_up(flights: Flights, index: int) -> tuple[int, int] | None:
    for flight, entry in flights.items():
        place = entry.place_of(index)
        if place is not None:
            return flight, place
    return None


@given(st.lists(st.tuples(st.sampled_from(["launch", "again", "close", "end", "find"]),
                          st.integers(0, 40)), max_size=60))  # fmt: skip
def test_found_as_by_looking_at_all(steps: list[tuple[str, int]]) -> None:
    """With copies, too, which are several invocations that have one call."""
    flights, launched, read = Flights(), 0, 0
    for what, number in steps:
        if what == "launch":
            launched += 1
            flights[launched] = _flight(range(read, read + 1 + number % 4))
            read += 1 + number % 4
        elif what == "again" and read:
            launched += 1
            flights[launched] = _flight(sorted({number % read, number * 7 % read}))
        elif what == "close" and (found := _looked_up(flights, number)) is not None:
            flights[found[0]].close(found[1])
            if not flights[found[0]].left:
                del flights[found[0]]
        elif what == "end":
            if number in flights:
                del flights[number]
        elif what == "find":
            for index in range(read + 1):
                found = flights.find(index)
                assert (found is None) == (_looked_up(flights, index) is None)
                assert found is None or flights[found[0]].place_of(index) == found[1]


def test_thousands_are_cancelled_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are on their way, those that wait, and those launched in between."""
    looks = 0
    place_of = Flight.place_of

    def counted(self: Flight, index: int) -> int | None:
        nonlocal looks
        looks += 1
        return place_of(self, index)

    monkeypatch.setattr(Flight, "place_of", counted)
    flights = Flights()
    for index in range(4000):
        flights[index + 1] = _flight(range(index, index + 1))
    for index in range(4000):
        assert flights.find(index) == (index + 1, 0)
        del flights[index + 1]
        flights[5000 + index] = _flight(range(5000 + index, 5001 + index))
        assert flights.find(20_000 + index) is None
    assert looks <= 8000


def test_what_has_ended_is_not_listed() -> None:
    """Of a service that cancels once, and submits for months."""
    flights = Flights()
    for index in range(1000):
        flights[index] = _flight(range(index, index + 1))
        if index % 7 == 5:
            assert flights.find(index - 3) is not None
        if index >= 10:
            del flights[index - 10]
        assert len(flights._carriers) + len(flights._unlisted or ()) <= len(flights)
    flights.clear()
    assert flights.find(999) is None
    assert not flights._carriers
