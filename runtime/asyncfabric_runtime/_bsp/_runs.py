"""Merging more than fits in memory: sorted runs in temporary files, read side by side."""

from __future__ import annotations

import heapq
import struct
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from ._groups import cut, decode, encode
from ._keys import canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Item = tuple[bytes, Any, list[Any]]

_HEADER = struct.Struct("<BQ")
MOST_RUNS = 32


class Runs:
    """Sorted runs of keys and values; the values of a key come out in the order they came in.

    Args:
        combine: makes one value of two; None to keep them all.
    """

    def __init__(self, combine: Callable[[Any, Any], Any] | None) -> None:
        self._combine = combine
        self._files: list[BinaryIO] = []
        self._most = 0

    def __len__(self) -> int:
        return len(self._files)

    def add(self, groups: dict[Any, Any], most: int) -> None:
        """Write a table as a run; it is emptied on the way.

        Args:
            groups: the table.
            most: values in a block; so many of each run are in memory while they are merged.
        """
        self._most = min(most, self._most or most)
        items = sorted(((canonical(key), key) for key in groups), key=itemgetter(0))
        one = self._combine is not None
        self._write(
            (code, key, [groups.pop(key)] if one else groups.pop(key)) for code, key in items
        )
        if len(self._files) > MOST_RUNS:
            files = self._files
            self._files = []
            try:
                self._write(_merged(files))
            finally:
                _close(files)

    def merge(self) -> Iterator[tuple[Any, Iterator[Any]]]:
        """Yield each key, with an iterator of its values that is good till the next key."""
        for _, group in groupby(_merged(self._files), key=itemgetter(0)):
            items = iter(group)
            first = next(items)
            values = chain(first[2], chain.from_iterable(item[2] for item in items))
            if self._combine is None:
                yield first[1], values
            else:
                combined = next(values)
                for value in values:
                    combined = self._combine(combined, value)
                yield first[1], iter((combined,))

    def close(self) -> None:
        """Give the files' space back."""
        _close(self._files)
        self._files = []

    def _write(self, items: Iterable[Item]) -> None:
        import tempfile  # what few data does without

        file = cast("BinaryIO", tempfile.TemporaryFile(prefix="asyncfabric-"))  # noqa: SIM115 - closed by `close`
        self._files.append(file)
        for groups in cut(((key, own) for _, key, own in items), self._most):
            form, data = encode(groups)
            file.write(_HEADER.pack(form, len(data)))
            file.write(data)


def _merged(files: list[BinaryIO]) -> Iterator[Item]:
    # It is stable: of equal keys, those of earlier runs come first.
    return heapq.merge(*map(_items, files), key=itemgetter(0))


def _items(file: BinaryIO) -> Iterator[Item]:
    file.seek(0)
    while header := file.read(_HEADER.size):
        form, length = _HEADER.unpack(header)
        for key, values in decode(form, file.read(length)).each():
            yield canonical(key), key, values


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        file.close()
