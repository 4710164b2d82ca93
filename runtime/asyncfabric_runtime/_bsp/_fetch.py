"""Reading many ranges of many objects, in order, with many reads on their way."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric_storage import IntegrityError

from ._patience import Patience

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from asyncfabric_storage import ObjectStore

IN_FLIGHT = 64
LARGEST_BYTES = 8 * 1024 * 1024
"""A range that is larger is read in parts; larger ones where there is memory for four of them.

A terabyte in parts of 8 MiB is 23 s of the 5,500 reads a second that a fresh prefix of S3 takes.
"""
_MOST_BYTES = 32 * 1024 * 1024  # S3's store cuts what is larger
_AHEAD_BYTES = 128 * 1024 * 1024
"""On their way at most, which is more than a function's network carries in a second. A thousand
workers that ask for more at once are refused."""
_LOOK = 0.05


class Range(NamedTuple):
    """Bytes of an object; `number` is the caller's own, and comes back with them."""

    number: int
    key: str
    start: int
    end: int


async def fetch(
    store: ObjectStore,
    ranges: Iterable[Range],
    memory: int,
    short: Callable[[Range], Exception] | None = None,
) -> AsyncGenerator[list[tuple[int, memoryview]]]:
    """Yield the bytes of ranges in their order, as many at once as have come.

    Empty ranges are not asked for, and nothing is yielded for them; one of more than 8 to 32 MiB
    (a quarter of `memory`) comes in parts. A read that takes far longer than the others is asked
    for once more.

    Args:
        store: where the objects are.
        ranges: what to read.
        memory: bytes that may be on their way or wait to be taken, all together; a part that is
            larger comes alone.
        short: makes the error for an object that has become shorter than a range; by default it is
            an `IntegrityError` about intermediate data.

    Raises:
        IntegrityError: an object is shorter than it was.
        StorageError: a read failed.
    """
    memory = min(memory, _AHEAD_BYTES)
    largest = max(LARGEST_BYTES, min(_MOST_BYTES, memory // 4))
    parts = _cut(ranges, max(1, min(largest, memory)))
    patience = Patience()
    coming: deque[tuple[Range, asyncio.Task[memoryview]]] = deque()
    held = 0
    following = next(parts, None)
    try:
        while True:
            while (
                following is not None
                and len(coming) < IN_FLIGHT
                and (not coming or held + _size(following) <= memory)
            ):
                read = asyncio.ensure_future(_patiently(store, following, patience, short))
                coming.append((following, read))
                held += _size(following)
                following = next(parts, None)
            if not coming:
                return
            await asyncio.wait([coming[0][1]])
            found: list[tuple[int, memoryview]] = []
            while coming and coming[0][1].done():
                part, read = coming[0]
                found.append((part.number, read.result()))
                coming.popleft()
                held -= _size(part)
            yield found
    finally:
        for _, read in coming:
            read.cancel()
        await asyncio.gather(*(read for _, read in coming), return_exceptions=True)


def _size(part: Range) -> int:
    return part.end - part.start


def _cut(ranges: Iterable[Range], most: int) -> Iterator[Range]:
    for each in ranges:
        for start in range(each.start, each.end, most):
            yield each._replace(start=start, end=min(each.end, start + most))


async def _patiently(
    store: ObjectStore,
    part: Range,
    patience: Patience,
    short: Callable[[Range], Exception] | None,
) -> memoryview:
    """Read a part; ask for it once more where that takes too long."""
    loop = asyncio.get_running_loop()
    patience.begun()
    begin = loop.time()
    reads = {asyncio.ensure_future(_read(store, part, short))}
    try:
        while True:
            limit = patience.limit()
            if len(reads) > 1:
                timeout = None
            elif limit is None:
                timeout = _LOOK  # it may be known by then
            else:
                timeout = max(0.0, begin + limit - loop.time())
            done, _ = await asyncio.wait(
                reads, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            for read in done:
                if read.exception() is None:
                    patience.took(loop.time() - begin)
                    return read.result()
                reads.discard(read)
                if not reads:
                    return read.result()  # the last one's error
            if not done and limit is not None:
                if patience.copy():
                    reads.add(asyncio.ensure_future(_read(store, part, short)))
                else:
                    await asyncio.wait(reads)
    finally:
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)


async def _read(
    store: ObjectStore, part: Range, short: Callable[[Range], Exception] | None
) -> memoryview:
    data = await store.get(part.key, start=part.start, end=part.end)
    if len(data) == part.end - part.start:
        return data
    if short is not None:
        raise short(part)
    msg = (
        f"the intermediate object {part.key} in {store.url} is shorter than its worker wrote it: "
        "it was changed; run this again, and see who else writes to this store"
    )
    raise IntegrityError(msg)
