"""A store that keeps count of what is asked of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from asyncfabric_storage import MemoryStore, ObjectInfo, ObjectStore
from asyncfabric_storage._buffers import Data


class CountingStore(MemoryStore):
    """In memory; reads of `stuck` places wait for `released`, the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()
        self.asked = {name: asyncio.Event() for name in ("get", "put", "list")}
        self.reads: list[tuple[str, int, int | None]] = []
        self.written: list[str] = []
        self.kept: set[str] = set()
        self.stuck: set[tuple[str, int]] = set()
        self._loop = asyncio.get_running_loop()
        self.given_up = 0
        self.released = asyncio.Event()
        self.reading = self.most_reading = 0

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        self.count["get"] += 1
        self._loop.call_soon_threadsafe(self.asked["get"].set)  # this may be another one
        self.reads.append((key, start, end))
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        try:
            if (key, start) in self.stuck:
                self.stuck.discard((key, start))
                await self.released.wait()
            await asyncio.sleep(0)
            return await super().get(key, start=start, end=end)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.reading -= 1

    async def put(self, key: str, data: Data) -> None:
        self.count["put"] += 1
        self._loop.call_soon_threadsafe(self.asked["put"].set)  # this may be another one
        self.written.append(key)
        await super().put(key, data)
        self.kept.add(key)

    async def delete(self, key: str) -> None:
        self.count["delete"] += 1
        await super().delete(key)
        self.kept.discard(key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        self.count["list"] += 1
        self._loop.call_soon_threadsafe(self.asked["list"].set)  # this may be another one
        async for info in super().list(prefix):
            yield info


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    """What is there."""
    return [info.key async for info in store.list(prefix)]
