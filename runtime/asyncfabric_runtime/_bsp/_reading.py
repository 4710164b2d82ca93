"""The bytes of a chunk's records."""

from __future__ import annotations

from contextlib import aclosing
from itertools import groupby
from typing import TYPE_CHECKING

from asyncfabric_storage import StorageError

from ._boundaries import boundary
from ._fetch import Range, fetch
from ._inflate import inflated

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from asyncfabric_storage import ObjectStore

    from ._piece import Piece
    from ._records import Rule

Block = bytes | memoryview

AHEAD_BYTES = 16 * 1024 * 1024
"""On their way, while as many are used."""


async def blocks_of(
    pieces: tuple[Piece, ...], rule: Rule, store_of: Callable[[str], ObjectStore]
) -> AsyncGenerator[Block]:
    """Yield the bytes of the records of some pieces, in order.

    Where an object ends without the delimiter and another one follows, it is put in between.

    Args:
        pieces: parts of objects.
        rule: how they are cut into records.
        store_of: opens a store by its URL.

    Raises:
        ObjectNotFound, StorageError: an object is gone, or not as it was when it was planned.
    """
    end, before = b"", -1
    count = len(rule.delimiter)
    for group in _together(pieces, rule):
        store = store_of(pieces[group[0]].store)
        async with aclosing(_blocks(pieces, group, rule, store)) as blocks:
            async for number, block in blocks:
                if count:
                    if number != before and end and not end.endswith(rule.delimiter):
                        yield rule.delimiter
                    end = ((end if number == before else b"") + bytes(block[-count:]))[-count:]
                before = number
                yield block


def _together(pieces: tuple[Piece, ...], rule: Rule) -> Iterator[list[int]]:
    """Yield the numbers of neighbours that can be read at once, as thousands of small objects."""

    def kind(number: int) -> tuple[str, int]:
        piece = pieces[number]
        alone = piece.codec or (rule.delimiter and piece.end - piece.start < piece.size)
        return piece.store, number if alone else -1

    for _, group in groupby(range(len(pieces)), key=kind):
        yield list(group)


async def _blocks(
    pieces: tuple[Piece, ...], group: list[int], rule: Rule, store: ObjectStore
) -> AsyncGenerator[tuple[int, Block]]:
    ranges: list[Range] = []
    for number in group:
        piece = pieces[number]
        first, last = piece.start, piece.end
        if rule.delimiter and not piece.codec:
            first, last = await _bounds(piece, rule, store)
        ranges.append(Range(number, piece.key, first, last))

    def short(part: Range) -> Exception:
        return StorageError(_changed(pieces[part.number]))

    async with aclosing(fetch(store, ranges, AHEAD_BYTES, short)) as batches:
        codec = pieces[group[0]].codec
        if codec:  # it is alone
            raw = (data async for batch in batches for _, data in batch)
            async with aclosing(raw), aclosing(_inflated(raw, pieces[group[0]])) as plain:
                async for inner in plain:
                    yield group[0], inner
        else:
            async for batch in batches:
                for number, data in batch:
                    yield number, data


def _inflated(raw: AsyncIterator[memoryview], piece: Piece) -> AsyncGenerator[bytes]:
    return inflated(raw, piece.codec, piece.name)


async def _bounds(piece: Piece, rule: Rule, store: ObjectStore) -> tuple[int, int]:
    """Return where the records begin and end that begin in a piece."""

    async def read(start: int, end: int) -> memoryview:
        end = min(end, piece.size)
        data = await store.get(piece.key, start=start, end=end)
        if len(data) != end - start:
            raise StorageError(_changed(piece))
        return data

    first, last = piece.start, piece.end
    first = await boundary(read, rule, first, last)
    if first >= last:
        return first, first
    if last < piece.size:
        last = await boundary(read, rule, last, piece.size)
    return first, last


def _changed(piece: Piece) -> str:
    return (
        f"{piece.name} is shorter than the {piece.size:,} bytes that it had when it was listed; "
        "plan the chunks anew, and don't change objects that are being read"
    )
