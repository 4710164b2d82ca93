"""Writing an object: at once, in parts, or only if it is absent."""

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from ._errors import StorageError
from ._s3_answers import read_answer
from ._s3_bodies import Parts, body_of
from ._s3_flow import Flow, Refused

if TYPE_CHECKING:
    from ._s3_clients import Clients

PART = 16 * 1024 * 1024
"""Bytes of a part, at least, and the largest object that is written by one request."""
LARGEST_PART = 64 * 1024 * 1024
"""Bytes of a part of a large object, while 10,000 of these are enough.

A terabyte in parts of 16 MiB is 17 s of the 3,500 writes a second that a fresh prefix takes.
"""
_PARTS = 16
"""Into which an object is cut, where parts have between these two sizes."""
_MOST_PARTS = 10_000  # S3's limit
PARTS_AT_ONCE = 4
"""Of one object; each counts in the store's own bound. They may be copies."""
_SPARE = 3
"""Parts in memory beside those: one that is being filled, and what obstore and malloc keep.

Measured: 320 MB in parts of 9 to 20 MiB took 6 to 7 of these in memory.
"""
LEAST_PART = 5 * 1024 * 1024  # S3's limit
PIECE = 1024 * 1024
"""Bytes that are handed over at a time: whole parts would be in memory once more."""
MOST_AT_ONCE = 5 * 1024**3
"""S3's limit for an object written by one request."""

_ATTEMPT = "asyncfabric-attempt"
"""The metadata that tells one's own write from another's."""
_PATIENCE = 30.0  # seconds for a write, and the rate that is added for large ones
_SLOWEST = 256 * 1024  # bytes a second


class Writing(NamedTuple):
    """One write."""

    flow: Flow
    name: str
    """Of the object in the bucket."""

    async def put(self, views: list[memoryview], memory: int | None = None) -> None:
        """Write the object, replacing the one that is there.

        Args:
            views: its bytes.
            memory: bytes that copies of them may take; 16 MiB are taken in any case.

        Raises:
            Refused: S3's answer.
        """
        size = sum(view.nbytes for view in views)
        if size > PART:
            await self._in_parts(views, size, memory)
        else:
            await self._at_once(views, size)

    async def create(self, views: list[memoryview]) -> bool:
        """Write the object unless it exists; True if this call created it.

        An answer may get lost: the next attempt is then told that the object exists, though it is
        one's own. So the object bears a mark of this call.

        Raises:
            Refused: S3's answer.
            StorageError: it is larger than S3 allows for a single request.
        """
        import obstore

        size = sum(view.nbytes for view in views)
        if size > MOST_AT_ONCE:
            msg = (
                f"{self.name!r} has {size} bytes, but S3 creates at most {MOST_AT_ONCE} by one "
                "conditional write; put() the data under a name of its own, and create a small "
                "object that names it"
            )
            raise StorageError(msg)
        body = body_of(views)
        mark = os.urandom(12).hex()
        doubt = False

        async def send(clients: "Clients") -> bool:
            nonlocal doubt
            try:
                async with asyncio.timeout(_PATIENCE + size / _SLOWEST):
                    await obstore.put_async(
                        clients.writes,
                        self.name,
                        body,
                        mode="create",
                        attributes={_ATTEMPT: mark},
                    )
            except Exception as error:
                answer = read_answer(error)
                if answer.kind == "exists" and not doubt:
                    return False
                doubt = doubt or answer.uncertain
                raise
            return True

        while True:
            try:
                return await self.flow.run(send)
            except Refused as refused:
                if refused.answer.kind != "exists":
                    raise
            mine = await self._is_mine(mark)
            if mine is not None:
                return mine
            doubt = False  # gone meanwhile: once more

    async def _is_mine(self, mark: str) -> bool | None:
        """Whether the object bears the mark; None if there is none."""
        import obstore

        async def send(clients: "Clients") -> bool:
            result = await obstore.get_async(clients.reads, self.name, options={"head": True})
            return result.attributes.get(_ATTEMPT) == mark

        try:
            return await self.flow.run(send)
        except Refused as refused:
            if refused.answer.kind == "absent":
                return None
            raise

    async def _at_once(self, views: list[memoryview], size: int) -> None:
        import obstore

        body = body_of(views)

        async def send(clients: "Clients") -> None:
            async with asyncio.timeout(_PATIENCE + size / _SLOWEST):
                await obstore.put_async(clients.writes, self.name, body, use_multipart=False)

        await self.flow.run(send)

    async def _in_parts(self, views: list[memoryview], size: int, memory: int | None) -> None:
        import obstore

        part, at_once = part_bytes(size), PARTS_AT_ONCE
        if memory is not None:
            part, at_once = bounded(size, memory)
        weight = min(at_once, -(-size // part))

        async def send(clients: "Clients") -> None:
            parts = Parts(views, PIECE)
            try:
                await obstore.put_async(
                    clients.uploads,
                    self.name,
                    parts,
                    use_multipart=True,
                    chunk_size=part,
                    max_concurrency=weight,
                )
            finally:
                parts.close()

        await self.flow.run(send, weight=weight)


def part_bytes(size: int) -> int:
    """Return into which parts to cut an upload: 16, where these have 16 to 64 MiB."""
    return max(PART, min(LARGEST_PART, -(-size // _PARTS)), -(-size // _MOST_PARTS))


def bounded(size: int, memory: int) -> tuple[int, int]:
    """Return the bytes of a part, and how many at once, so that copies take `memory`.

    >>> bounded(320 * 2**20, 70 * 2**20)
    (10485760, 4)
    """
    least = max(LEAST_PART, -(-size // _MOST_PARTS))
    part = max(least, min(part_bytes(size), memory // (PARTS_AT_ONCE + _SPARE)))
    return part, max(1, min(PARTS_AT_ONCE, memory // part - _SPARE))
