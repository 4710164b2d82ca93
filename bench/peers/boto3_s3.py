"""boto3's S3 client from 64 threads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers.boto3_client import make_client
from bench.peers.cloud import pump_threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from bench.peers.boto3_client import Client
    from bench.peers.cloud import Objects, Target


class _Objects:
    def __init__(self, client: Client, target: Target) -> None:
        self._client = client
        self._target = target

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        def one(key: str) -> object:
            return self._client.put_object(Bucket=self._target.bucket, Key=key, Body=data)

        await pump_threads(one, keys, self._target.in_flight)

    async def get(self, keys: Sequence[str]) -> int:
        return sum(await pump_threads(self._size, keys, self._target.in_flight))

    def _size(self, key: str) -> int:
        return len(self._client.get_object(Bucket=self._target.bucket, Key=key)["Body"].read())


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Objects]:
    """Make a client with a connection for every thread."""
    client = make_client("s3", target)
    try:
        yield _Objects(client, target)
    finally:
        client.close()
