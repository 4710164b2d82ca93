"""What is uploaded: bytes that nobody can change meanwhile, copied only where they could."""

from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def body_of(views: list[memoryview]) -> memoryview | bytes:
    """Return all views as one buffer.

    A single view of a `bytes` object is used as it is. All else is copied: the caller may change
    it once a cancelled write is out, while its request is still being sent.
    """
    if len(views) == 1 and type(views[0].obj) is bytes:
        return views[0]
    return b"".join(views)


class Parts:
    """Cuts views into parts of equal size, one after another, when they are asked for."""

    # obstore asks in its own threads.

    def __init__(self, views: list[memoryview], size: int) -> None:
        self._parts = _cut(views, size)
        self._closed = False
        self._lock = Lock()

    def __iter__(self) -> "Iterator[memoryview | bytes]":
        return self

    def __next__(self) -> memoryview | bytes:
        with self._lock:
            if self._closed:
                # Not the end: what has been cut short must not be completed.
                raise RuntimeError("the upload was given up")
            return next(self._parts)

    def close(self) -> None:
        """Touch the data no more; an upload that goes on fails."""
        with self._lock:
            self._closed = True
            self._parts.close()


def _cut(views: list[memoryview], size: int) -> "Generator[memoryview | bytes]":
    part: list[memoryview] = []
    room = size
    for view in views:
        start = 0
        while start < view.nbytes:
            piece = view[start : start + room]
            part.append(piece)
            start += piece.nbytes
            room -= piece.nbytes
            if not room:
                yield body_of(part)
                part, room = [], size
    if part:
        yield body_of(part)
