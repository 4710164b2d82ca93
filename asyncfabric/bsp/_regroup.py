"""The stage between mappers and reducers of a large exchange: few reads instead of very many.

Mappers are taken in sets, and the reducers' tasks in groups, about the square root of each. For
each set and group a worker reads the group's range of each object of the set, and writes one object
in which all that belongs to a task stands together. So a reducer reads one range for each set.
Blocks are copied as they are.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, TypeVar

from asyncfabric_runtime._bsp._task import Task

from ._tasks import little

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from asyncfabric_runtime._bsp._task import Packed

    from ._tasks import Layout


Span = tuple[int, int]
T = TypeVar("T")


class Regrouping:
    """Which mappers and tasks come together, and where everything is afterwards.

    Args:
        layout: what the mappers wrote.
        spans: the partitions of each task, from one to before another.
    """

    def __init__(self, layout: Layout, spans: Sequence[Span]) -> None:
        self._sets = _cut(layout.objects)
        self._groups = _cut(spans)
        self._work: list[tuple[int, int]] = []

    def packed(self) -> Iterator[Packed]:
        """Yield the regroupers' tasks, which have the groups' tasks as partitions.

        One by one: all together are as large as what all mappers told.
        """
        for at, group in enumerate(self._groups):
            edges = [first for first, _ in group] + [group[-1][1]]
            for of, objects in enumerate(self._sets):
                names: list[str] = []
                bounds = array("Q")
                for name, ends in objects:
                    if ends[edges[0]] < ends[edges[-1]]:
                        names.append(name)
                        bounds.extend(ends[edge] for edge in edges)
                if names:
                    self._work.append((at, of))
                    yield Task(at, len(group), tuple(names), little(bounds)).packed()

    def tasks(self, names: Sequence[str]) -> Iterator[Task]:
        """Yield the reducers' tasks, given the names of the regroupers' objects."""
        written = dict(zip(self._work, names, strict=True))
        for at, group in enumerate(self._groups):
            offsets = dict.fromkeys(range(len(self._sets)), 0)
            for span in group:
                yield self._task(at, span, written, offsets)

    def _task(
        self, at: int, span: Span, written: dict[tuple[int, int], str], offsets: dict[int, int]
    ) -> Task:
        first, last = span
        mappers: list[str] = []
        where: list[int] = []
        objects: list[str] = []
        bounds = array("Q")
        for of, members in enumerate(self._sets):
            name = written.get((at, of))
            if name is None:
                continue
            objects.append(name)
            offset = offsets[of]
            for mapper, ends in members:
                begin, end = ends[first], ends[last]
                if begin < end:
                    # It stands behind those before it now, and not where it was.
                    bounds.append(offset)
                    for inner in ends[first + 1 : last]:
                        bounds.append(inner - begin + offset)
                    offset += end - begin
                    bounds.append(offset)
                    mappers.append(mapper)
                    where.append(len(objects) - 1)
            offsets[of] = offset
        return Task(
            first, last - first, tuple(mappers), little(bounds), tuple(objects), tuple(where)
        )


def _cut(items: Sequence[T]) -> list[Sequence[T]]:
    """Cut into about the square root of the number of items, each of about so many."""
    size = max(1, math.isqrt(max(0, len(items) - 1)) + 1)
    return [items[start : start + size] for start in range(0, len(items), size)]
