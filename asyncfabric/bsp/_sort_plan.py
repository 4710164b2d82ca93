"""Where a sort's partitions begin, and which part of the output each makes: arithmetic only."""

from __future__ import annotations

import struct
from itertools import count, pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncfabric_runtime._bsp._sorting import Order
    from asyncfabric_runtime._bsp._task import Task


def splitters(keys: Sequence[bytes], partitions: int) -> tuple[bytes, ...]:
    """Return the keys at which partitions of equal size begin, ascending.

    A key that fills more than one partition by itself gets one of its own, from it to before the
    next key that there can be: what is in that needs no sorting, and can be cut anywhere.

    Args:
        keys: a sample, all of one width.
        partitions: how many there are to be, about.
    """
    ranked = sorted(keys)
    chosen = [ranked[number * len(ranked) // partitions] for number in range(1, partitions)]
    found = set(chosen)
    for key, following in pairwise(chosen):
        if key == following and (after := _after(key)):
            found.add(after)
    return tuple(sorted(found))


def single(chosen: Sequence[bytes]) -> set[int]:
    """Return the numbers of the partitions in which all keys are equal."""
    found = {number + 1 for number, (key, end) in enumerate(pairwise(chosen)) if _after(key) == end}
    if chosen and not _after(chosen[-1]):
        found.add(len(chosen))
    return found


def _after(key: bytes) -> bytes:
    """Return the next key of the same width; none behind the last one."""
    number = int.from_bytes(key, "big") + 1
    if number == 1 << 8 * len(key):
        return b""
    return number.to_bytes(len(key), "big")


class Planned(NamedTuple):
    """A part of the output.

    Attributes:
        task: what is in it.
        sums: the CRC-32 of what each mapper has of it, as little-endian u32.
        equal: all of its keys are.
    """

    task: Task
    sums: bytes
    equal: bool

    def order(self, key: str) -> Order:
        """Return what a worker is told, as a plain tuple."""
        return self.task.packed(), self.sums, key, self.equal


def planned(
    tasks: Iterable[Task], sums: Mapping[str, bytes], equal: set[int], most: int
) -> Iterator[Planned]:
    """Yield the parts of the output in order.

    Args:
        tasks: one for each partition, in order.
        sums: for each mapper's object, the CRC-32 of each partition, as little-endian u32.
        equal: the partitions in which all keys are; those are cut.
        most: bytes to cut them to, unless one mapper has more.
    """
    for task in tasks:
        number = task.first
        own = b"".join(sums[name][4 * number : 4 * number + 4] for name in task.names)
        if number not in equal:
            yield Planned(task, own, False)  # noqa: FBT003 - by its name in Planned
            continue
        for first, last in _cuts(task, most):
            yield Planned(_some(task, first, last), own[4 * first : 4 * last], True)  # noqa: FBT003


def _cuts(task: Task, most: int) -> Iterator[tuple[int, int]]:
    """Yield runs of mappers that have so many bytes together, at least one mapper."""
    first = size = 0
    for number, (start, end) in enumerate(task.rows()):
        if size and size + end - start > most:
            yield first, number
            first, size = number, 0
        size += end - start
    yield first, len(task.names)


def _some(task: Task, first: int, last: int) -> Task:
    """Return the part of a task of one partition that some mappers have."""
    row = struct.calcsize("<2Q")
    return task._replace(
        names=task.names[first:last],
        bounds=task.bounds[first * row : last * row],
        where=task.where[first:last],
    )


def names(parts: int) -> Iterator[str]:
    """Yield names that are in their order as strings, too, for so many parts at most."""
    width = max(5, len(str(parts)))
    for number in count():
        yield f"part-{number:0{width}}"
