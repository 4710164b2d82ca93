"""Cutting objects into chunks: arithmetic on their sizes, nothing is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime._bsp._chunk import Chunk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asyncfabric_runtime._bsp._piece import Piece
    from asyncfabric_runtime._bsp._records import Rule


class Planner:
    """Packs small objects together and cuts large ones, in the order in which they come.

    Args:
        size: bytes of a chunk, about; a chunk has less than twice as much, unless a record or a
            compressed object is longer.
        rule: how the objects are cut into records.
    """

    def __init__(self, size: int, rule: Rule) -> None:
        self._size = size
        self._rule = rule
        self._packed: list[Piece] = []
        self._bytes = 0

    def add(self, whole: Piece) -> Iterator[Chunk]:
        """Take an object; yield the chunks that are complete by it.

        Raises:
            ConfigurationError: its size is no multiple of the records'.
        """
        if not whole.size:
            return
        width = self._rule.width
        if width and not whole.codec and whole.size % width:
            msg = (
                f"{whole.name} has {whole.size:,} bytes, which is no multiple of records={width}, "
                "the bytes of each record; give the right number, records='lines' for text, or "
                "leave this object out"
            )
            raise ConfigurationError(msg)
        # Two objects with a delimiter in between could look otherwise where delimiters overlap.
        if self._bytes + whole.size > self._size or self._rule.overlaps:
            yield from self.end()
        if whole.codec or whole.size <= self._size:
            self._packed.append(whole)
            self._bytes += whole.size
            return
        for piece in _cut(whole, self._size, width or 1):
            yield Chunk((piece,), self._rule)

    def end(self) -> Iterator[Chunk]:
        """Yield what is left."""
        if self._packed:
            yield Chunk(tuple(self._packed), self._rule)
            self._packed, self._bytes = [], 0


def _cut(whole: Piece, size: int, width: int) -> Iterator[Piece]:
    """Cut an object into equal parts, whose bounds are multiples of a width."""
    units = whole.size // width
    count = max(1, min(units, -(-whole.size // size)))
    for number in range(count):
        start, end = number * units // count * width, (number + 1) * units // count * width
        yield whole._replace(start=start, end=whole.size if number == count - 1 else end)
