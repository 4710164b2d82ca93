"""A part of one object."""

from __future__ import annotations

from typing import NamedTuple


class Piece(NamedTuple):
    """A range of an object; the records that *begin* in it belong to it.

    Attributes:
        store: the URL of the store.
        key: the object's.
        start: first byte.
        end: first byte behind it.
        size: bytes of the whole object, when its parts were planned.
        codec: how the object is compressed: "gz", "zst", or "" where it isn't. One that is can't
            be read from its middle, so it is one piece.
    """

    store: str
    key: str
    start: int
    end: int
    size: int
    codec: str = ""

    @property
    def name(self) -> str:
        """What to call it in a message."""
        where = "" if self.end - self.start == self.size else f" [{self.start}:{self.end}]"
        return f"{self.key} in {self.store}{where}"
