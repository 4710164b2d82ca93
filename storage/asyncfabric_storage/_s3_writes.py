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
"""Of one object; each counts in the store's own bound. They may be copies: 256 MiB at most."""
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

    async def put(self, views: list[memoryview]) -> None:
        """Write the object, replacing the one that is there.

        Raises:
            Refused: S3's answer.
        """
        size = sum(view.nbytes for view in views)
        if size > PART:
            await self._in_parts(views, size)
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

    async def _in_parts(self, views: list[memoryview], size: int) -> None:
        import obstore

        part = part_bytes(size)
        weight = min(PARTS_AT_ONCE, -(-size // part))

        async def send(clients: "Clients") -> None:
            parts = Parts(views, part)
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
