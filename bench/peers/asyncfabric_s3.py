"""asyncfabric's own store, `s3://`, by its public interface."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncfabric_storage import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from asyncfabric_storage import ObjectStore
    from bench.peers.cloud import Objects, Target


class _Store:
    def __init__(self, store: ObjectStore, in_flight: int) -> None:
        self._store = store
        self._in_flight = in_flight

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        await self._store.put_many(((key, data) for key in keys), concurrency=self._in_flight)

    async def get(self, keys: Sequence[str]) -> int:
        total = 0
        async with self._store.get_many(keys, concurrency=self._in_flight) as results:
            async for _, data in results:
                total += len(data)
        return total


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Objects]:
    """Open the store as a worker does, with credentials from the environment."""
    store = open_store(
        f"s3://{target.bucket}/objects?region={target.region}&endpoint_url={target.objects_url}"
    )
    try:
        yield _Store(store, target.in_flight)
    finally:
        await store.aclose()
