"""What a worker of the second stage reads: some neighbouring partitions of all mappers."""

from __future__ import annotations

import struct
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from ._blocking import iterate
from ._fetch import Range, fetch

if TYPE_CHECKING:
    from collections.abc import Generator

    from asyncfabric_storage import ObjectStore

Packed = tuple[int, int, tuple[str, ...], bytes, tuple[str, ...], tuple[int, ...]]


class Task(NamedTuple):
    """Neighbouring partitions for one worker.

    Attributes:
        first: the first one's number.
        length: how many.
        names: of the mappers that have something of them, in the order of the items.
        bounds: for each mapper, where in an object the first partition begins and where each one
            ends, as little-endian u64.
        objects: the names of the objects, where these are not the mappers' own.
        where: for each mapper, the place of its object in `objects`.
    """

    first: int
    length: int
    names: tuple[str, ...]
    bounds: bytes
    objects: tuple[str, ...] = ()
    where: tuple[int, ...] = ()

    def packed(self) -> Packed:
        """Return it as a plain tuple, which travels as itself."""
        return (self.first, self.length, self.names, self.bounds, self.objects, self.where)

    def rows(self) -> list[tuple[int, ...]]:
        """Return the bounds for each mapper."""
        return list(struct.Struct(f"<{self.length + 1}Q").iter_unpack(self.bounds))

    def ranges(self, prefix: str) -> list[Range]:
        """Return what has to be read; what stands side by side in an object is one range."""
        found: list[Range] = []
        for number, row in enumerate(self.rows()):
            name = self.objects[self.where[number]] if self.objects else self.names[number]
            key = f"{prefix}{name}"
            if found and found[-1].key == key and found[-1].end == row[0]:
                found[-1] = found[-1]._replace(end=row[-1])
            else:
                found.append(Range(number, key, row[0], row[-1]))
        return found


def pieces_of(
    task: Task, store: ObjectStore, prefix: str, memory: int
) -> Generator[tuple[int, memoryview]]:
    """Yield the bytes of each mapper in turn, in pieces, each with the mapper's place in the task.

    For plain functions on a worker; raises as `fetch` does.
    """
    sizes = iter([row[-1] - row[0] for row in task.rows()])
    number, left = 0, next(sizes, 0)
    with closing(iterate(fetch(store, task.ranges(prefix), memory))) as batches:
        for batch in batches:
            for _, data in batch:
                rest = data
                while rest:
                    some, rest = rest[:left], rest[left:]
                    yield number, some
                    left -= len(some)
                    if not left:
                        number, left = number + 1, next(sizes, 0)
