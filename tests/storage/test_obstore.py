"""A store built upon obstore passes the suite, too: it asks for nothing that only ours can do.

This is the shape that a store in a cloud will have.
"""

from typing import TYPE_CHECKING

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError
from obstore.store import MemoryStore as ObstoreMemory

from asyncfabric_storage import ObjectInfo, ObjectNotFound, ObjectStore, StorageError, validate_key
from asyncfabric_storage._buffers import as_views
from asyncfabric_storage._keys import validate_prefix
from asyncfabric_storage._ranges import check_range, clip_range

from .conformance import StoreConformance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncfabric_storage import Data

# Its threads start with the first operation and keep a few descriptors: not a test's leak.
obstore.put(ObstoreMemory(), "warm-up", b"")


class ObstoreStore(ObjectStore):
    def __init__(self) -> None:
        self.inner = ObstoreMemory()

    @property
    def url(self) -> str:
        return "obstore://"

    @property
    def shared(self) -> bool:
        return False

    @property
    def ephemeral(self) -> bool:
        return True

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        validate_key(key)
        check_range(start, end)
        if start or end is not None:
            # obstore refuses empty ranges and does not tell a wrong range from other errors.
            size = (await self.head(key)).size
            start, end = clip_range(key, size, start, end)
            if start == end:
                return memoryview(b"")
        try:
            if end is not None:
                part = await obstore.get_range_async(self.inner, key, start=start, end=end)
                return memoryview(part)
            result = await obstore.get_async(self.inner, key)
            return memoryview(await result.bytes_async())
        except FileNotFoundError as error:
            raise self._absent(key) from error

    async def put(self, key: str, data: "Data") -> None:
        validate_key(key)
        await obstore.put_async(self.inner, key, b"".join(as_views(data)))

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        validate_key(key)
        body = b"".join(as_views(data))
        try:
            await obstore.put_async(self.inner, key, body, mode="create")
        except AlreadyExistsError:
            return False
        return True

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        try:
            meta = await obstore.head_async(self.inner, key)
        except FileNotFoundError as error:
            raise self._absent(key) from error
        return ObjectInfo(key, meta["size"], meta["last_modified"])

    async def delete(self, key: str) -> None:
        validate_key(key)
        try:
            await obstore.delete_async(self.inner, key)
        except FileNotFoundError:
            return

    async def list(self, prefix: str = "") -> "AsyncIterator[ObjectInfo]":
        validate_prefix(prefix)
        folder = prefix[: prefix.rfind("/") + 1]  # obstore's prefixes are whole segments
        pages = obstore.list(self.inner, folder or None)  # pyright: ignore[reportUnknownMemberType]
        async for page in pages:
            for meta in page:
                if meta["path"].startswith(prefix):
                    yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"])

    async def aclose(self) -> None:
        return

    def _absent(self, key: str) -> StorageError:
        return ObjectNotFound(f"there is no object {key!r} in {self.url}")


class TestObstoreStore(StoreConformance):
    @pytest.fixture
    def store(self) -> ObjectStore:
        return ObstoreStore()

    async def test_its_url_opens_the_same_store(self, store: ObjectStore) -> None:
        """It has no scheme of its own."""
