"""aiobotocore's S3 client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers.aiobotocore_client import make_client
from bench.peers.cloud import pump

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from bench.peers.aiobotocore_client import Client
    from bench.peers.cloud import Objects, Target


class _Objects:
    def __init__(self, client: Client, target: Target) -> None:
        self._client = client
        self._target = target

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        async def one(key: str) -> object:
            return await self._client.put_object(Bucket=self._target.bucket, Key=key, Body=data)

        await pump(one, keys, self._target.in_flight)

    async def get(self, keys: Sequence[str]) -> int:
        return sum(await pump(self._size, keys, self._target.in_flight))

    async def _size(self, key: str) -> int:
        answer = await self._client.get_object(Bucket=self._target.bucket, Key=key)
        return len(await answer["Body"].read())


@asynccontextmanager
async def connect(way: str, target: Target) -> AsyncGenerator[Objects]:
    """Make a client at its defaults but for the pool, or a tuned one."""
    async with make_client("s3", target, tuned=way == "objects-tuned") as client:
        yield _Objects(client, target)
