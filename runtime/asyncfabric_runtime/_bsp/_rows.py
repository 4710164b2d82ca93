"""Records of one width as rows of an array: sorted and dealt out without a loop in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncfabric_storage import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from asyncfabric_storage._buffers import Buffer

    Bytes = NDArray[np.uint8]
    Words = NDArray[np.uint64]
    Places = NDArray[np.intp]
    Numbers = NDArray[np.uint16]

_WORD = 8
_MIX = 0x9E3779B97F4A7C15


def numpy() -> Any:  # noqa: ANN401 - a module
    """Return NumPy, the user's own. Raises `ConfigurationError`."""
    try:
        import numpy as np
    except ImportError:
        msg = "sorting records needs NumPy, here and at the workers: pip install numpy"
        raise ConfigurationError(msg) from None
    return np


class Rows:
    """Records, and the keys that they begin with.

    Args:
        data: the records, one behind the other.
        width: bytes of a record.
        key: bytes of the key at its start.
    """

    def __init__(self, data: Buffer, width: int, key: int) -> None:
        np = numpy()
        self.bytes: Bytes = np.frombuffer(data, dtype=np.uint8).reshape(-1, width)
        self._width = width
        self._key = key

    def __len__(self) -> int:
        return len(self.bytes)

    def words(self, start: int, end: int) -> Words:
        """Return up to 8 bytes of each record as a number that compares as they do."""
        np = numpy()
        padded: Bytes = np.zeros((len(self), _WORD), dtype=np.uint8)
        padded[:, : end - start] = self.bytes[:, start:end]
        numbers: Words = padded.view(">u8").ravel().astype(np.uint64)
        return numbers

    def order(self) -> Places:
        """Return the places of the records in the order of their keys; of equal keys, as they are.

        Nearly all keys differ in their first 8 bytes; only where some don't are the rest looked at.
        """
        np = numpy()
        first = self.words(0, min(_WORD, self._key))
        order: Places = np.argsort(first)
        ranked = first[order]
        if not (ranked[1:] == ranked[:-1]).any():
            return order
        columns = [
            self.words(start, min(start + _WORD, self._key)) for start in range(0, self._key, _WORD)
        ]
        stable: Places = np.lexsort(columns[::-1])
        return stable

    def dealt(self, splitters: Sequence[bytes]) -> tuple[Places, list[int]]:
        """Return an order in which each partition's records stand together, and their numbers.

        A key belongs behind as many splitters as are not above it.
        """
        np = numpy()
        parts = self._parts(splitters)
        count = len(splitters) + 1
        # Of 16 bits: those are sorted by their digits, in time that grows with the records only.
        order: Places = np.argsort(parts, kind="stable")
        return order, np.bincount(parts, minlength=count).tolist()

    def _parts(self, splitters: Sequence[bytes]) -> Numbers:
        np = numpy()
        first = self.words(0, min(_WORD, self._key))
        prefixes = np.array([_prefix(each) for each in splitters], dtype=np.uint64)
        parts: Numbers
        parts = np.searchsorted(prefixes, first, side="right").astype(np.uint16)
        if self._key > _WORD:
            # Where a splitter begins with the same 8 bytes, the whole key decides. Strings of NumPy
            # lose their zeros at the end, which is no loss where all are of one width.
            unsure = np.nonzero(np.searchsorted(prefixes, first, side="left") != parts)[0]
            kind = f"S{self._key}"
            keys = np.ascontiguousarray(self.bytes[unsure, : self._key]).view(kind).ravel()
            parts[unsure] = np.searchsorted(np.array(splitters, dtype=kind), keys, side="right")
        return parts

    def taken(self, order: Places) -> memoryview:
        """Return the records in an order."""
        np = numpy()
        whole = self.bytes.view(np.dtype((np.void, self._width))).ravel()
        rows: Bytes = whole.take(order).view(np.uint8)
        return rows.data

    def is_sorted(self) -> bool:
        """Tell whether no key is below the one before it."""
        np = numpy()
        if len(self) <= 1:
            return True
        # The first word in which neighbours differ decides.
        undecided = np.ones(len(self) - 1, dtype=bool)
        for start in range(0, self._key, _WORD):
            word = self.words(start, min(start + _WORD, self._key))
            if (undecided & (word[1:] < word[:-1])).any():
                return False
            undecided &= word[1:] == word[:-1]
            if not undecided.any():
                break
        return True

    def doubles(self) -> int:
        """Return how many records have the same key as the one before them."""
        np = numpy()
        if len(self) <= 1:
            return 0
        same = np.ones(len(self) - 1, dtype=bool)
        for start in range(0, self._key, _WORD):
            word = self.words(start, min(start + _WORD, self._key))
            same &= word[1:] == word[:-1]
        return int(np.count_nonzero(same))

    def key_at(self, place: int) -> bytes:
        """Return one record's key."""
        return self.bytes[place, : self._key].tobytes()

    def checksum(self) -> int:
        """Return 64 bits that depend on the records, and not on their order.

        The sum of a hash of each: what was lost, doubled or changed shows, as in valsort.
        """
        np = numpy()
        total: Words = np.zeros(len(self), dtype=np.uint64)
        for number, start in enumerate(range(0, self._width, _WORD)):
            total += np.uint64(_odd(number))
            total ^= self.words(start, min(start + _WORD, self._width))
            total *= np.uint64(_MIX)
            total ^= total >> np.uint64(29)
        return int(total.sum(dtype=np.uint64))


def _odd(number: int) -> int:
    return (number * 2 + 1) * _MIX % 2**64


def _prefix(key: bytes) -> int:
    return int.from_bytes(key[:_WORD].ljust(_WORD, b"\0"), "big")
