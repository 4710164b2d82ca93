"""Objects without content on the simulated store: requests, their time and sizes, but no bytes.

The requests are those that asyncfabric's S3 store makes for as many bytes: by its own arithmetic of
parts, so many of them at once.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from asyncfabric_storage import _s3_reads, _s3_writes
from asyncfabric_storage._pumps import Pumps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric.testing._simulated._store import SimulatedStore
    from asyncfabric_storage import ObjectStore


class Hollow:
    """Reads and writes objects of which there is only the size."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = cast("SimulatedStore", store)

    @property
    def url(self) -> str:
        """The URL of the store below."""
        return self._store.url

    async def get(self, key: str, *, start: int, end: int) -> Sized:  # noqa: ARG002 - as a store's
        """Make the requests for so many bytes, and return something of their length."""
        first = min(end, start + _s3_reads.part_bytes(end - start))
        await self._read(first - start)
        part = _s3_reads.part_bytes(end - first)

        async def read(begin: int) -> None:
            await self._read(min(part, end - begin))

        await Pumps(range(first, end, part), read, _s3_reads.PARTS_AT_ONCE).run()
        return Sized(end - start)

    async def put(self, key: str, size: int) -> None:
        """Make the requests for so many bytes; an empty object is there afterwards."""
        if size <= _s3_writes.PART:
            await self._write(size)
        else:
            part = _s3_writes.part_bytes(size)
            await self._write(0)  # begins the upload

            async def write(begin: int) -> None:
                await self._write(min(part, size - begin))

            await Pumps(range(0, size, part), write, _s3_writes.PARTS_AT_ONCE).run()
            await self._write(0)  # ends it
        self._store._write(key, b"", None)  # noqa: SLF001 - it is the simulation's own

    async def _read(self, size: int) -> None:
        await self._store._send("get", _nothing, lambda _: size)  # noqa: SLF001

    async def _write(self, size: int) -> None:
        await self._store._send("put", _nothing, size)  # noqa: SLF001


class Sized:
    """What stands for so many bytes."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def _nothing() -> None: ...


async def read_all(store: Hollow, ranges: Sequence[Any], memory: int) -> int:
    """Read ranges as workers do, many at once and slow ones twice; return the bytes."""
    from asyncfabric_runtime._bsp._fetch import fetch

    size = 0
    reading: Any = fetch(cast("ObjectStore", store), ranges, memory)
    async for batch in reading:
        size += sum(len(data) for _, data in batch)
    return size


def shares(size: int, count: int, seed: int, unit: int = 1) -> list[int]:
    """Return what falls into each of so many equal ranges if chance decides, in bytes."""
    import numpy as np

    draw = np.random.default_rng(seed)
    found: list[int] = draw.multinomial(size // unit, np.full(count, 1 / count)).tolist()
    return [each * unit for each in found]


def ends(sizes: Sequence[int]) -> bytes:
    """Return where each of some neighbours ends, as little-endian u64."""
    return struct.pack(f"<{len(sizes)}Q", *accumulate(sizes))
