"""Calls that go together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Batch:
    """Calls to be launched as one invocation, or a part of one; ascending by index.

    Attributes:
        indices: the calls' indices: a range where they are neighbours, as fresh ones are.
        inputs: their inputs.
        attempts: the number of the attempt, from 1, of all of them or of each.
        alone: nothing else may go in the same invocation.
    """

    indices: Sequence[int]
    inputs: list[Any]
    attempts: int | list[int]
    alone: bool = False

    def attempt(self, position: int) -> int:
        """Return the attempt number of the call at a position."""
        return self.attempts if isinstance(self.attempts, int) else self.attempts[position]

    def call(self, position: int) -> tuple[int, Any, int]:
        """Return index, input and attempt number of the call at a position."""
        return self.indices[position], self.inputs[position], self.attempt(position)

    def part(self, start: int, stop: int) -> Batch:
        """Return the calls from one position to before another, cut out by slicing."""
        if start == 0 and stop == len(self.inputs):
            return self
        attempts = self.attempts
        return Batch(
            self.indices[start:stop],
            self.inputs[start:stop],
            attempts if isinstance(attempts, int) else attempts[start:stop],
            self.alone,
        )

    def pieces(self, count: int) -> list[Batch]:
        """Cut it into so many pieces at most, about equal, each to go alone."""
        size = -(-len(self.inputs) // count)
        starts = range(0, len(self.inputs), size)
        return [replace(self.part(start, start + size), alone=True) for start in starts]

    def pick(self, positions: list[int]) -> Batch:
        """Return the calls at some positions, which ascend; there is at least one."""
        first, last = positions[0], positions[-1]
        if last - first + 1 == len(positions):
            return self.part(first, last + 1)
        attempts = self.attempts
        return Batch(
            [self.indices[place] for place in positions],
            [self.inputs[place] for place in positions],
            attempts if isinstance(attempts, int) else [attempts[place] for place in positions],
            self.alone,
        )


def merged(batches: list[Batch]) -> Batch:
    """Return the calls of several batches, each of which begins after the one before has ended."""
    attempts: int | list[int] = batches[0].attempts
    if any(batch.attempts != attempts for batch in batches) or not isinstance(attempts, int):
        attempts = [batch.attempt(place) for batch in batches for place in range(len(batch.inputs))]
    return Batch(
        [index for batch in batches for index in batch.indices],
        [value for batch in batches for value in batch.inputs],
        attempts,
    )
