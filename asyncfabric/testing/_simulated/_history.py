"""What happened, line by line, to be compared between two runs of a seed."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os


class History:
    """The events of a simulation in the order they happened; `SimulatedCloud.history`.

    Two runs of a seed have the same history, byte by byte.

    Attributes:
        lines: one event each: the simulated second, what happened, to which invocation.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    @property
    def digest(self) -> str:
        """The SHA-256 of the whole, in hexadecimal."""
        return sha256(str(self).encode()).hexdigest()

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write it to a file, to be compared by `diff`."""
        with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123 - any path-like
            file.write(str(self))
