"""What is too large for a payload: through the store, in both directions."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from asyncfabric._exceptions import IntegrityError
from asyncfabric_runtime._wire import SPILLED, load_head, pack, unpack
from asyncfabric_storage import StorageError, digest, object_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

RIDING_BYTES = 8 * 1024
"""Code of so many bytes rides in every envelope: sending it costs less than asking whether the
worker that Lambda chooses has it."""
_LARGE = 1024 * 1024
"""What is larger is hashed and copied outside the loop."""


class Cargo:
    """The part of the store that a backend's invocations use."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._stored: set[str] = set()
        self._storing: dict[str, asyncio.Task[None]] = {}
        self._ridden: tuple[Mapping[str, bytes], dict[str, Buffer]] = {}, {}

    # -- code: stored once, under its digest ----------------------------------------------------

    def load(self, code: Mapping[str, bytes]) -> tuple[dict[str, Buffer], list[str]]:
        """Return what goes along with every invocation, and what has to be stored before it."""
        if code is self._ridden[0]:
            return self._ridden[1], []  # as for the invocation before
        riding: dict[str, Buffer] = {}
        missing: list[str] = []
        for name, data in code.items():
            if len(data) <= RIDING_BYTES:
                riding[name] = data
            elif name not in self._stored:
                missing.append(name)
        if not missing:
            self._ridden = code, riding
        return riding, missing

    async def store_code(self, name: str, data: bytes) -> None:
        """Store code, once, unless another driver has. Raises `StorageError`."""
        if name in self._stored:
            return
        storing = self._storing.get(name)
        if storing is None:
            storing = asyncio.ensure_future(self._store_code(name, data))
            self._storing[name] = storing
        await asyncio.shield(storing)

    async def _store_code(self, name: str, data: bytes) -> None:
        try:
            await self._store.put_if_absent(object_key(name), data)
            self._stored.add(name)
        finally:
            del self._storing[name]

    def forget(self, names: list[str]) -> None:
        """Know that a worker did not find this code: somebody has deleted it."""
        self._ridden = {}, {}
        self._stored.difference_update(names)

    # -- frames: stored for one reader, then deleted --------------------------------------------

    async def store_frame(self, job: str, frame: Sequence[Buffer]) -> tuple[str, list[Buffer]]:
        """Store a frame; return its key, and the small frame that stands for it."""
        key = f"spill/{job}/{os.urandom(16).hex()}"
        name = await asyncio.to_thread(digest, frame)
        await self._store.put(key, frame)
        return key, pack(SPILLED, (key, name, self._store.url))

    async def fetch_frame(self, segments: list[memoryview]) -> tuple[int, list[memoryview]]:
        """Read the frame that a worker stored, check it and delete it.

        Raises `StorageError`; before anything of it is read, `IntegrityError`.
        """
        key, name, _ = load_head(segments[0])
        if not key.startswith("spill/"):
            msg = f"a worker names {key!r} as its answer, which is not where answers are stored"
            raise IntegrityError(msg)
        data = await self._store.get(key)
        aside = len(data) > _LARGE
        found = await asyncio.to_thread(digest, data) if aside else digest(data)
        if found != name:
            msg = (
                f"object {key} in {self._store.url} holds other bytes than the worker stored: it "
                "was changed or damaged; run the call again"
            )
            raise IntegrityError(msg)
        # Copied, since a result's arrays are the user's to write to.
        own = await asyncio.to_thread(bytearray, data) if aside else bytearray(data)
        await self.delete(key)
        return unpack(own)

    async def delete(self, key: str) -> None:
        """Delete a frame that has been read. Where that fails, the bucket's lifecycle does it."""
        try:
            await self._store.delete(key)
        except StorageError:
            return
