"""obstore as it is, the library below asyncfabric's own store: a limit for that one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers.cloud import pump

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence

    from bench.peers.cloud import Objects, Target


class _Answer(Protocol):
    def bytes_async(self) -> Awaitable[memoryview]:
        """See obstore.GetResult.bytes_async; a buffer of its own kind really."""
        ...


class _Store(Protocol):
    def put_async(self, path: str, file: bytes) -> Awaitable[object]:
        """See obstore.store.S3Store.put_async."""
        ...

    def get_async(self, path: str) -> Awaitable[_Answer]:
        """See obstore.store.S3Store.get_async."""
        ...


class _Package(Protocol):
    def S3Store(  # noqa: N802  (the peer's name)
        self, bucket: str, *, region: str, endpoint: str, client_options: Mapping[str, bool]
    ) -> _Store:
        """See obstore.store.S3Store."""
        ...


obstore = cast("_Package", import_module("obstore.store"))


class _Objects:
    def __init__(self, store: _Store, in_flight: int) -> None:
        self._store = store
        self._in_flight = in_flight

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        await pump(lambda key: self._store.put_async(key, data), keys, self._in_flight)

    async def get(self, keys: Sequence[str]) -> int:
        return sum(await pump(self._size, keys, self._in_flight))

    async def _size(self, key: str) -> int:
        return len(await (await self._store.get_async(key)).bytes_async())


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Objects]:
    """Make a store at obstore's defaults."""
    store = obstore.S3Store(
        target.bucket,
        region=target.region,
        endpoint=target.objects_url,
        client_options={"allow_http": True},
    )
    yield _Objects(store, target.in_flight)
