"""Bytes put aside: in memory while they are few, else in a temporary file without a name."""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self


class Spool:
    """Keeps pieces of bytes in lists, one for each number below a bound.

    Args:
        lists: how many lists.
        memory: bytes kept in memory.
    """

    def __init__(self, lists: int, memory: int) -> None:
        self.sizes = [0] * lists
        self.counts = [0] * lists
        self._pieces: list[list[bytes | tuple[int, int]]] = [[] for _ in range(lists)]
        self._memory = memory
        self._held = self._written = 0
        self._file: BinaryIO | None = None
        self._map: mmap.mmap | None = None

    def append(self, number: int, piece: bytes) -> None:
        """Put a piece at the end of a list."""
        self._pieces[number].append(piece)
        self.sizes[number] += len(piece)
        self.counts[number] += 1
        self._held += len(piece)
        if self._held > self._memory:
            self._write()

    def _write(self) -> None:
        if self._file is None:
            import tempfile  # what few data does without

            self._file = cast("BinaryIO", tempfile.TemporaryFile(prefix="asyncfabric-"))  # noqa: SIM115 - closed by `close`
        for pieces in self._pieces:
            for place, piece in enumerate(pieces):
                if isinstance(piece, bytes):
                    self._file.write(piece)
                    pieces[place] = (self._written, self._written + len(piece))
                    self._written += len(piece)
        self._held = 0

    def joined(self) -> list[bytes | memoryview]:
        """Return all pieces, those of list 0 first; to be used before `close`."""
        if self._file is not None and self._map is None:
            self._file.flush()
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        view = memoryview(b"" if self._map is None else self._map)
        found: list[bytes | memoryview] = []
        for pieces in self._pieces:
            found += _views(pieces, view)
        return found

    def close(self) -> None:
        """Give the file's space back."""
        if self._map is not None:
            with contextlib.suppress(BufferError):  # an interrupted write still has a view of it
                self._map.close()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _views(pieces: Iterable[bytes | tuple[int, int]], view: memoryview) -> list[bytes | memoryview]:
    return [piece if isinstance(piece, bytes) else view[piece[0] : piece[1]] for piece in pieces]
