"""Lithops' Storage on its aws_s3 backend, from as many threads as may be in flight."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers.cloud import pump_threads
from bench.peers.lithops_lambda import lithops

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from bench.peers.cloud import Objects, Target


class _Storage(Protocol):
    def put_object(self, bucket: str, key: str, body: bytes) -> None:
        """See lithops.Storage.put_object."""
        ...

    def get_object(self, bucket: str, key: str) -> bytes:
        """See lithops.Storage.get_object."""
        ...


class _Package(Protocol):
    def Storage(  # noqa: N802  (the peer's name)
        self, *, config: Mapping[str, Mapping[str, str]]
    ) -> _Storage:
        """See lithops.Storage."""
        ...


class _Objects:
    def __init__(self, storage: _Storage, target: Target) -> None:
        self._storage = storage
        self._target = target

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        def one(key: str) -> None:
            self._storage.put_object(self._target.bucket, key, data)

        await pump_threads(one, keys, self._target.in_flight)

    async def get(self, keys: Sequence[str]) -> int:
        return sum(await pump_threads(self._size, keys, self._target.in_flight))

    def _size(self, key: str) -> int:
        return len(self._storage.get_object(self._target.bucket, key))


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Objects]:
    """Make a Storage of the endpoint, which its boto3 client finds by `AWS_ENDPOINT_URL`."""
    config = {
        "lithops": {"storage": "aws_s3"},
        "aws": {"region": target.region},
        "aws_s3": {"storage_bucket": target.bucket},
    }
    os.environ["AWS_ENDPOINT_URL"] = target.objects_url
    try:
        yield _Objects(cast("_Package", lithops).Storage(config=config), target)
    finally:
        del os.environ["AWS_ENDPOINT_URL"]
