"""What the tables of two stages ask of a peer: count the words of a text, sort records."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers.session import require

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

RECORD = 100
"""Bytes of a record, the line feed at its end included."""
KEY = 10
"""Bytes of the key that it begins with."""

_find = re.compile("[a-z]+").findall


def words(line: str) -> list[str]:
    """Return the words of a line: the function that all Python peers run on each."""
    return _find(line.lower())


def one(word: str) -> tuple[str, int]:
    """Count a word for the first time."""
    return word, 1


def counted(lines: Iterable[str]) -> Counter[str]:
    """Count the words of many lines: what a Python program does where it is given them all."""
    found: Counter[str] = Counter()
    for line in lines:
        found.update(words(line))
    return found


def size_of(text: Path) -> int:
    """Return the bytes of a file."""
    return text.stat().st_size


def files_of(folder: Path) -> list[Path]:
    """Return the files in a directory."""
    return list(folder.iterdir())


class Stages(Protocol):
    """A started peer; it does either or both."""

    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:
        """Count the words of a file of text; return each with its number."""
        ...

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        """Sort the records in the files of a directory by key, into files in another one.

        Args:
            source: its files have whole records.
            target: is empty; its files in the order of their names have the result.
            memory: bytes that may be used, by all processes together.
        """
        ...


class StagesAdapter(Protocol):
    """The one function of a module for these tables."""

    def connect(self, way: str) -> AbstractAsyncContextManager[Stages]:
        """Start the peer for this way of using it; leaving the context stops it."""
        ...


def load_stages(module: str) -> StagesAdapter:
    """Import `bench.peers.stages_<module>` and with it the peer's own package."""
    return cast("StagesAdapter", require(f"bench.peers.stages_{module}"))
