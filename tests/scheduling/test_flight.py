"""An invocation: which of its calls are open, answered, settled; and how answers are cut."""

from collections.abc import Sequence

import pytest

from asyncfabric.scheduling._batch import Batch
from asyncfabric.scheduling._flight import Flight


def _flight(indices: Sequence[int]) -> Flight:
    return Flight(Batch(indices, [str(index) for index in indices], 1))


@pytest.mark.parametrize(
    ("indices", "closed", "positions", "runs"),
    [
        (range(5), [], range(5), [(0, 5)]),
        (range(5), [], range(1, 3), [(0, 2)]),
        (range(5), [], [0, 1, 2], [(0, 3)]),
        (range(5), [], [2, 1, 0], [(0, 1), (1, 2), (2, 3)]),
        (range(5), [], [3, 4, 0, 1], [(0, 2), (2, 4)]),
        (range(5), [2], range(5), [(0, 2), (3, 5)]),
        (range(5), [0, 4], range(5), [(1, 4)]),
        (range(5), [1, 2], range(5), [(0, 1), (3, 5)]),
        (range(3), [0, 1, 2], range(3), []),
        ([4, 5, 9], [], range(3), [(0, 2), (2, 3)]),
        ([4, 5, 9], [0], range(3), [(1, 2), (2, 3)]),
        ([4, 6, 7], [], [0, 2, 1], [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_runs(
    indices: Sequence[int],
    closed: list[int],
    positions: Sequence[int],
    runs: list[tuple[int, int]],
) -> None:
    flight = _flight(indices)
    for position in closed:
        flight.close(position)
    assert flight.runs(positions) == runs


def test_an_answered_call_does_not_come_back() -> None:
    flight = _flight(range(4))
    flight.close(0)
    flight.answer([0, 1])
    assert flight.open_positions() == [2, 3]
    assert flight.open_among([3, 1, 0]) == [3]
    assert flight.holds(1)
    assert not flight.holds(0)
    assert flight.left == 3
    assert flight.runs(range(4)) == [(1, 4)]
    assert flight.unsettled().indices == range(1, 4)


@pytest.mark.parametrize("indices", [range(10, 14), [10, 11, 12, 13]])
def test_a_call_is_found_by_its_index(indices: Sequence[int]) -> None:
    flight = _flight(indices)
    assert [flight.place_of(index) for index in (9, 10, 13, 14)] == [None, 0, 3, None]
    flight.close(3)
    assert flight.place_of(13) is None
