"""Which partitions make a reducer's task: arithmetic on what the mappers wrote."""

from __future__ import annotations

import sys
from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric_runtime._bsp._task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncfabric_runtime._bsp._mapper import Written


class Layout:
    """Where the partitions are in the objects of all mappers, in the order of the items.

    Args:
        written: what the mappers told.
        partitions: how many there are.
    """

    def __init__(self, written: Sequence[Written], partitions: int) -> None:
        self.partitions = partitions
        self.objects = [(each.name, _bounds(each.ends)) for each in written if each.name]
        # By columns: a quarter of the time for the 9 million bounds of 3,000 mappers.
        ends = [sum(column) for column in zip(*(bounds for _, bounds in self.objects), strict=True)]
        self.sizes = [end - begin for begin, end in pairwise(ends)] or [0] * partitions

    def spans(self, most: int, least: int) -> Iterator[tuple[int, int]]:
        """Yield where the partitions of each task begin and end; all partitions are in one.

        Args:
            most: bytes of a task of several partitions.
            least: tasks there should be, about, if there are so many partitions.
        """
        left, places = sum(self.sizes), least
        first, size = 0, 0
        for number, more in enumerate(self.sizes):
            # To the nearer side of an equal share of what is left.
            near = size + more / 2 <= (left / places if places > 1 else left)
            if number > first and (size + more > most or not near):
                yield first, number
                left, places = left - size, places - 1
                first, size = number, 0
            size += more
        yield first, self.partitions

    def task(self, first: int, last: int) -> Task:
        """Return the task of some neighbouring partitions."""
        names: list[str] = []
        bounds = array("Q")
        for name, ends in self.objects:
            if ends[first] < ends[last]:
                names.append(name)
                bounds += ends[first : last + 1]
        return Task(first, last - first, tuple(names), little(bounds))


def little(bounds: array[int]) -> bytes:
    """Return numbers as little-endian u64; spoils the array on other machines."""
    if sys.byteorder == "big":
        bounds.byteswap()
    return bounds.tobytes()


def _bounds(ends: bytes) -> array[int]:
    found = array("Q", bytes(8) + ends)
    if sys.byteorder == "big":
        found.byteswap()
    return found


class ShuffleStats(NamedTuple):
    """What went from mappers to reducers.

    Attributes:
        mappers: calls that wrote something.
        partitions: how many there are.
        bytes: written, after combining and compressing.
        largest: the number of the largest partition.
        largest_bytes: its bytes.
        skew: how many times the mean partition the largest one is: 1.0 is the best. More
            partitions don't help where one key has most of the values; `combine` does.
    """

    mappers: int = 0
    partitions: int = 0
    bytes: int = 0
    largest: int = 0
    largest_bytes: int = 0
    skew: float = 1.0


def figures(layout: Layout) -> ShuffleStats:
    """Return what there is to tell of a layout."""
    sizes = layout.sizes
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    total = sum(sizes)
    return ShuffleStats(
        len(layout.objects),
        layout.partitions,
        total,
        largest,
        sizes[largest],
        sizes[largest] * len(sizes) / total if total else 1.0,
    )
