"""What is too large for a payload: through the store, in both directions."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from asyncfabric._exceptions import FabricError, IntegrityError
from asyncfabric_runtime._private import parted
from asyncfabric_runtime._wire import SPILLED, WireError, load_place, pack, unpack
from asyncfabric_storage import digest, object_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfabric_runtime import Envelope
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._buffers import Buffer

_NOTHING: dict[str, bytes] = {}
_LARGE = 1024 * 1024
"""What is larger is hashed and copied outside the loop."""


MOST_STORED = 10 * 1024**3
"""Bytes of an answer in the store: what a function has of memory at most, so none is larger."""
_ROUNDS = 3
"""So often code is stored again that workers don't find, before they are believed not to see it."""


class Cargo:
    """The part of the store that a backend's invocations use."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._stored: set[str] = set()
        self._stored_at: dict[str, int] = {}
        self._rounds: dict[str, int] = {}
        self._storing: dict[str, asyncio.Task[None]] = {}
        self._archives: dict[str, bytes] = {}
        self._settled: Mapping[str, bytes] | None = None
        self._flight = 0

    async def aclose(self) -> None:
        """Stop storing code."""
        storing = list(self._storing.values())
        for task in storing:
            task.cancel()
        if storing:
            await asyncio.wait(storing)

    # -- code: stored once, under its digest ----------------------------------------------------

    def missing(
        self, code: Mapping[str, bytes], archive: str | None, flight: int
    ) -> dict[str, bytes]:
        """Return what has to be stored before an invocation can be sent."""
        self._flight = flight
        if code is self._settled:
            return _NOTHING  # as for the invocation before
        missing = {name: data for name, data in code.items() if name not in self._stored}
        if archive in self._archives and archive not in self._stored:
            missing[archive] = self._archives[archive]
        if not missing:
            self._settled = code
        return missing

    async def store_archive(self, name: str, data: bytes) -> None:
        """Store an archive, and keep it for the case that somebody deletes it."""
        self._archives[name] = data
        await self.store_code(name, data)

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
            self._stored_at[name] = self._flight
        finally:
            del self._storing[name]

    def doubt(self) -> None:
        """Take nothing for stored any more: somebody may have deleted it, and won't be heard of."""
        self._stored.clear()
        self._settled = None

    def found(self) -> None:
        """Know that a worker has all its code."""
        if self._rounds:
            self._rounds.clear()

    def forget(self, names: list[str], flight: int) -> bool:
        """Know that an invocation's worker did not find this code: somebody has deleted it.

        Tells whether it is worth storing again.
        """
        self._settled = None
        for name in names:
            stored_at = self._stored_at.get(name)
            if stored_at is None:
                return False  # no code of ours
            if name in self._stored and stored_at < flight:  # otherwise it was stored since
                self._stored.discard(name)
                self._rounds[name] = self._rounds.get(name, 0) + 1
        return max(self._rounds.values(), default=0) <= _ROUNDS

    # -- frames: stored for one reader, then deleted --------------------------------------------

    @staticmethod
    def new_key(job: str) -> str:
        """Return where a frame can be stored."""
        return f"spill/{job}/{os.urandom(16).hex()}"

    async def store_envelope(self, key: str, envelope: Envelope) -> list[Buffer]:
        """Store an envelope, but for what is private; return the frame that stands for it."""
        bare, private = parted(envelope)
        frame = bare.to_frame()
        name = await asyncio.to_thread(digest, frame)
        await self._store.put(key, frame)
        size = sum(memoryview(piece).nbytes for piece in frame)
        place = (key, name, self._store.url, size)
        return pack(SPILLED, place, () if private is None else (private,))

    @staticmethod
    def place_of(segments: list[memoryview]) -> tuple[str, str, int]:
        """Return key, digest and size of the frame that a worker stored. Raises `WireError`."""
        key, name, _, size = load_place(segments[0])
        if not key.startswith("spill/"):
            msg = f"it names {key!r} as its answer, which is not where answers are stored"
            raise WireError(msg)
        if size > MOST_STORED:
            msg = f"it tells of a stored answer of {size:,} bytes, and has less memory than that"
            raise WireError(msg)
        return key, name, size

    async def fetch_frame(self, key: str, name: str, size: int) -> tuple[int, list[memoryview]]:
        """Read the frame that a worker stored, and no more than that; it has a `place_of`.

        Raises `StorageError`; before anything of it is read, `IntegrityError`.
        """
        data = await self._store.get(key, start=0, end=size + 1)
        aside = len(data) > _LARGE
        found = await asyncio.to_thread(digest, data) if aside else digest(data)
        if len(data) != size or found != name:
            msg = (
                f"object {key} in {self._store.url} holds other bytes than the worker stored: it "
                "was changed or damaged; run the call again"
            )
            raise IntegrityError(msg)
        # Copied, since a result's arrays are the user's to write to.
        return unpack(await asyncio.to_thread(bytearray, data) if aside else bytearray(data))

    async def delete(self, key: str) -> None:
        """Delete a frame that has been read. Where that fails, the bucket's lifecycle does it."""
        try:
            await self._store.delete(key)
        except FabricError:
            return
