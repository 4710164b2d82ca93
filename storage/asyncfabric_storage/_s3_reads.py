"""Reading an object: one request if it is small, many ranges at once if it is large."""

from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

from ._errors import StorageError
from ._pumps import Pumps
from ._ranges import clip_range
from ._s3_flow import Flow, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from obstore import Bytes, GetOptions

    from ._s3_clients import Clients

PART = 8 * 1024 * 1024
"""Bytes of a large object that one request reads, at least: AWS advises 8 to 16 MiB."""
LARGEST_PART = 32 * 1024 * 1024
"""And at most. A range that a caller chose is not cut below it: he has several on their way.

A terabyte in parts of 8 MiB is 23 s of the 5,500 reads a second that a fresh prefix takes.
"""
PARTS_AT_ONCE = 16
"""Of one object; all its requests count in the store's own bound, too.

So what is on its way takes as much memory as what is read, and at most 512 MiB.
"""
_VERSIONS = 10
"""Times that an object is read anew because it was replaced."""


class _Part(NamedTuple):
    data: "Bytes"
    size: int  # of the whole object
    version: str | None


class _Replaced(Exception):
    """The object was replaced while its parts were read."""


class Reading(NamedTuple):
    """One `get`."""

    flow: Flow
    name: str
    """Of the object in the bucket."""
    key: str
    """For messages."""
    size_of: "Callable[[], Awaitable[int]]"
    """Asks for the object's size."""

    async def range(self, start: int, end: int | None) -> memoryview:
        """Return the bytes `[start, end)` of one version of the object.

        Raises:
            Refused: S3's answer.
            StorageError: the range begins beyond the object, or it is replaced all the time.
        """
        for _ in range(_VERSIONS):
            try:
                return await self._range(start, end)
            except _Replaced:
                continue
        msg = (
            f"{self.key!r} was another object whenever a part of it was read, {_VERSIONS} times; "
            "write under new keys instead of replacing, or see that nothing between here and the "
            "service changes ETags"
        )
        raise StorageError(msg)

    async def _range(self, start: int, end: int | None) -> memoryview:
        stop = start + PART if end is None else min(end, start + part_bytes(end - start))
        try:
            first = await self._part(start, stop)
        except Refused as refused:
            if refused.answer.kind == "whole":
                return await self._whole(start, end)
            if refused.answer.kind != "range":
                raise
            # A range of nothing: S3 answers so where it begins at the end of the object, too.
            size = refused.answer.size
            if size is None:
                size = 0 if start == 0 else await self.size_of()
            clip_range(self.key, size, start, end)
            if start < size:
                raise _Replaced from None
            return memoryview(b"")
        end = first.size if end is None else min(end, first.size)
        if end <= stop:
            return memoryview(first.data)
        return await self._rest(first, start, stop, end)

    async def _rest(self, first: _Part, start: int, stop: int, end: int) -> memoryview:
        # Not a bytearray: that writes all its zeros first, which takes time in the loop.
        whole = memoryview(mmap(-1, end - start))
        whole[: stop - start] = first.data

        size = part_bytes(end - stop)

        async def read(begin: int) -> None:
            until = min(begin + size, end)
            part = await self._part(begin, until, first.version)
            whole[begin - start : until - start] = part.data

        await Pumps(range(stop, end, size), read, PARTS_AT_ONCE).run()
        return whole.toreadonly()

    async def _part(self, start: int, stop: int, version: str | None = None) -> _Part:
        import obstore

        options: GetOptions = {"range": (start, stop)}
        if version is not None:
            options["if_match"] = version

        async def send(clients: "Clients") -> _Part:
            result = await obstore.get_async(clients.reads, self.name, options=options)
            data = await result.bytes_async()
            return _Part(data, result.meta["size"], result.meta["e_tag"])

        try:
            return await self.flow.run(send)
        except Refused as refused:
            if version is not None and refused.answer.kind in {"exists", "range"}:
                raise _Replaced from None
            raise

    async def _whole(self, start: int, end: int | None) -> memoryview:
        import obstore

        async def send(clients: "Clients") -> "Bytes":
            result = await obstore.get_async(clients.reads, self.name)
            return await result.bytes_async()

        data = await self.flow.run(send)
        start, end = clip_range(self.key, len(data), start, end)
        return memoryview(data)[start:end]


def part_bytes(size: int) -> int:
    """Return into which parts to cut a read: 16, where these have 8 to 32 MiB."""
    if size <= LARGEST_PART:
        return max(1, size)
    return min(LARGEST_PART, max(PART, -(-size // PARTS_AT_ONCE)))
