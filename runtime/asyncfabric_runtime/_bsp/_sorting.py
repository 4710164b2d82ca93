"""What workers do in a sort: sample, deal out, sort, and look at what is sorted."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from contextlib import closing
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from asyncfabric_runtime._context import current
from asyncfabric_storage import ConfigurationError, IntegrityError, StorageError

from ._blocking import iterate, store_for_blocking, wait_for, write
from ._chunk import Chunk
from ._fetch import Range, fetch
from ._records import Rule
from ._rows import Rows, numpy
from ._task import Task, pieces_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from asyncfabric_storage._buffers import Buffer

    from ._piece import Piece
    from ._task import Packed

PLACES = 8
PLACE_BYTES = 8 * 1024
_TAKEN_BYTES = 8 * 1024 * 1024


class Format(NamedTuple):
    """What records look like.

    Attributes:
        width: bytes of a record.
        key: bytes of the key, with which it begins.
    """

    width: int
    key: int

    def rows(self, data: Buffer) -> Rows:
        """Return records as rows."""
        return Rows(data, self.width, self.key)


class Sampler:
    """Reads a chunk's keys at a few places; returns them one behind the other."""

    def __init__(self, form: Format) -> None:
        self._format = form

    def __call__(self, chunk: Chunk) -> bytes:
        """Read them."""
        width, key = self._format
        keys: list[bytes] = []
        for piece in _places(chunk.pieces, width):
            data = Chunk((piece,), Rule(delimiter=b"", width=width)).read()
            keys += [data[at : at + key] for at in range(0, len(data), width)]
        return b"".join(keys)


def _places(pieces: Sequence[Piece], width: int) -> Iterable[Piece]:
    """Yield a few small parts, spread over some pieces."""
    step = max(1, len(pieces) // PLACES)
    some = pieces[::step][:PLACES]
    for piece in some:
        if piece.codec:
            yield piece  # which can't be read from its middle
            continue
        records = (piece.end - piece.start) // width
        each = max(1, PLACE_BYTES // width)
        for number in range(PLACES // len(some)):
            first = records * number * len(some) // PLACES
            last = min(records, first + each)
            yield piece._replace(start=piece.start + first * width, end=piece.start + last * width)


class Dealer:
    """Deals a chunk's records out to the partitions.

    Returns the object's name, where each partition ends in it, and their CRC-32s.
    """

    def __init__(
        self, form: Format, splitters: tuple[bytes, ...], prefix: str, memory: int
    ) -> None:
        self._format = form
        self._splitters = splitters
        self._prefix = prefix
        self._memory = memory

    def __call__(self, chunk: Chunk) -> tuple[str, bytes, bytes]:
        """Read, deal, write."""
        width = self._format.width
        rows = self._format.rows(read_records(chunk, self._format, self._memory // 8))
        order, counts = rows.dealt(self._splitters)
        data = rows.taken(order)
        del rows, order
        ends: list[int] = []
        sums: list[int] = []
        start = 0
        for count in counts:
            end = start + count * width
            ends.append(end)
            sums.append(crc32(data[start:end]))
            start = end
        name = f"{os.urandom(6).hex()}-{current().index}"
        store = store_for_blocking(current().store.url)
        write(store, f"{self._prefix}{name}", data, self._memory // 4)
        return name, struct.pack(f"<{len(ends)}Q", *ends), struct.pack(f"<{len(sums)}I", *sums)


def read_records(chunk: Chunk, form: Format, memory: int) -> Buffer:
    """Return all records of a chunk, held once.

    Args:
        chunk: of records of one width.
        form: what they look like.
        memory: bytes that may be on their way besides.

    Raises:
        ConfigurationError: a compressed object has a part of a record.
        ObjectNotFound, StorageError: an object is gone, or not as it was when it was planned.
    """
    pieces = chunk.pieces
    if any(piece.codec for piece in pieces):
        data = chunk.read()
        if len(data) % form.width:
            msg = (
                f"{chunk!r} has {len(data):,} bytes decompressed, which is no multiple of "
                f"record={form.width}; give the right number, or leave this object out"
            )
            raise ConfigurationError(msg)
        return data
    if len(pieces) == 1 and not (store := store_for_blocking(pieces[0].store)).remote:
        piece = pieces[0]
        whole = wait_for(store.get(piece.key, start=piece.start, end=piece.end))
        if len(whole) != chunk.size:
            raise _changed(piece)
        return whole
    room = bytearray(chunk.size)
    at = 0
    for url, group in groupby(pieces, attrgetter("store")):
        own: list[Piece] = list(group)
        ranges = [Range(n, piece.key, piece.start, piece.end) for n, piece in enumerate(own)]

        def short(part: Range, own: Sequence[Piece] = own) -> Exception:
            return _changed(own[part.number])

        with closing(iterate(fetch(store_for_blocking(url), ranges, memory, short))) as batches:
            for batch in batches:
                for _, some in batch:
                    room[at : at + len(some)] = some
                    at += len(some)
    return room


def _changed(piece: Piece) -> StorageError:
    msg = (
        f"{piece.name} is shorter than the {piece.size:,} bytes that it had when it was listed; "
        "sort again, and don't change objects that are being read"
    )
    return StorageError(msg)


class Part(NamedTuple):
    """An object of sorted records.

    Attributes:
        key: its key, below the destination.
        records: how many it has.
        bytes: its size.
    """

    key: str
    records: int
    bytes: int


Order = tuple["Packed", bytes, str, bool]
"""A partition or a piece of one; for each mapper in it, the CRC-32 of its part; the key of the
object to write; whether the records stand in order as they are."""


class Sorter:
    """Sorts one partition, and writes it."""

    def __init__(self, form: Format, prefix: str, destination: str, memory: int) -> None:
        self._format = form
        self._prefix = prefix
        self._destination = destination
        self._memory = memory

    def __call__(self, given: Order) -> tuple[str, int, int]:
        """Read, check, sort, write."""
        packed, sums, key, in_order = given
        task = Task(*packed)
        size = sum(last - first for first, last in task.rows())
        data = _room(size, self._memory // 3)
        self._read(task, struct.unpack(f"<{len(task.names)}I", sums), data)
        found = data if in_order else self._sorted(data)
        write(store_for_blocking(self._destination), key, found, self._memory // 4)
        return Part(key, size // self._format.width, size)

    def _sorted(self, data: bytearray | mmap.mmap) -> Buffer:
        rows = self._format.rows(data)
        order = rows.order()
        if not isinstance(data, mmap.mmap):
            return rows.taken(order)
        room = _room(len(data), 0)
        step = max(1, _TAKEN_BYTES // self._format.width)
        for first in range(0, len(rows), step):
            some = rows.taken(order[first : first + step])
            begin = first * self._format.width
            room[begin : begin + len(some)] = some
        return room

    def _read(self, task: Task, sums: tuple[int, ...], data: bytearray | mmap.mmap) -> None:
        store = store_for_blocking(current().store.url)
        found = [0] * len(sums)
        at = 0
        with closing(pieces_of(task, store, self._prefix, max(1, self._memory // 8))) as pieces:
            for place, piece in pieces:
                found[place] = crc32(piece, found[place])
                data[at : at + len(piece)] = piece
                at += len(piece)
        for name, was, has in zip(task.names, sums, found, strict=True):
            if was != has:
                msg = (
                    f"the intermediate object {self._prefix}{name} holds other bytes than were "
                    "written: it was changed or damaged; sort again, and see who else writes there"
                )
                raise IntegrityError(msg)


def _room(size: int, memory: int) -> bytearray | mmap.mmap:
    """Return so many bytes to write to: in memory, or in a file without a name."""
    if size <= memory or not size:
        return bytearray(size)
    with tempfile.TemporaryFile(prefix="asyncfabric-") as file:
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


class Seen(NamedTuple):
    """What a worker saw of some records: see `Validation`."""

    records: int
    ordered: bool
    duplicates: int
    checksum: int
    first: bytes
    last: bytes


class Inspector:
    """Looks at the records of a chunk."""

    def __init__(self, form: Format, memory: int) -> None:
        self._format = form
        self._memory = memory

    def __call__(self, chunk: Chunk) -> tuple[int, bool, int, int, bytes, bytes]:
        """Read and look."""
        numpy()
        rows = self._format.rows(read_records(chunk, self._format, self._memory // 8))
        if not len(rows):
            return Seen(0, True, 0, 0, b"", b"")  # noqa: FBT003
        return Seen(
            len(rows),
            rows.is_sorted(),
            rows.doubles(),
            rows.checksum(),
            rows.key_at(0),
            rows.key_at(-1),
        )
