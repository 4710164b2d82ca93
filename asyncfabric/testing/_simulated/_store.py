"""The simulated object store: a client that deals with a simulated S3 as the real one does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from asyncfabric_runtime._stores import _stores
from asyncfabric_storage import MemoryStore, ObjectInfo, ObjectNotFound, StorageError, validate_key
from asyncfabric_storage._buffers import as_views
from asyncfabric_storage._keys import validate_prefix
from asyncfabric_storage._ranges import check_range, clip_range

from ._bucket import Bucket, LostError, RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from asyncfabric_storage import Data

    from ._bucket import Operation
    from ._chances import Chances
    from ._ledger import Ledger
    from ._profile import StoreProfile

T = TypeVar("T")


def forget_store(url: str) -> None:
    """Drop what the runtime, as a worker, remembers of a store."""
    _stores.pop(url, None)


PAGE = 1000
"""Keys in a page of a listing, as S3 has it."""
_PATIENCE = 60.0  # seconds of throttling until a request fails
_ATTEMPTS = 5  # of a request whose answer is lost
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 20.0
_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_EXISTS = 412


class SimulatedStore(MemoryStore):
    """The object store of a simulated account; `SimulatedCloud.store`.

    Objects are kept in memory, requests take simulated time and meet with 503, 409, 412, stalls and
    lost answers, and are repeated as those to S3 are. It is an `ObjectStore` like any other.
    """

    def __init__(self, profile: StoreProfile, chances: Chances, ledger: Ledger) -> None:
        super().__init__()
        self._bucket = Bucket(profile, chances, ledger)
        self._jitter = chances.stream("store jitter")
        self._marks: dict[str, object] = {}

    @property
    def shared(self) -> bool:
        """True: simulated workers can open it."""
        return True

    @property
    def remote(self) -> bool:
        """True: they are on other machines, as far as the simulation goes."""
        return True

    @property
    def ephemeral(self) -> bool:
        """False: it lasts as long as the account, whoever comes and goes there."""
        return False

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        """Return the object's bytes; see `ObjectStore.get`."""
        validate_key(key)
        check_range(start, end)

        def act() -> memoryview:
            data, _ = self._find(key)
            first, last = clip_range(key, len(data), start, end)
            return memoryview(data)[first:last]

        return await self._send("get", act, len)

    async def head(self, key: str) -> ObjectInfo:
        """Return the object's size and age; see `ObjectStore.head`."""
        validate_key(key)

        def act() -> ObjectInfo:
            data, modified = self._find(key)
            return ObjectInfo(key, len(data), modified)

        return await self._send("head", act)

    async def put(self, key: str, data: Data) -> None:
        """Write the object; see `ObjectStore.put`."""
        validate_key(key)
        body = b"".join(as_views(data))
        await self._send("put", lambda: self._write(key, body, None), len(body))

    async def put_if_absent(self, key: str, data: Data) -> bool:
        """Write the object unless it exists; see `ObjectStore.put_if_absent`.

        When an answer was lost, what is found there may be one's own: it bears a mark.
        """
        validate_key(key)
        body = b"".join(as_views(data))
        mark = object()
        doubt = False

        def create() -> None:
            if key in self._objects:
                raise RefusedError(_EXISTS)
            self._write(key, body, mark)

        def note() -> None:
            nonlocal doubt
            doubt = True

        while True:
            try:
                await self._send("put", create, len(body), conditional=True, lost=note)
            except RefusedError:
                if not doubt:
                    return False
            else:
                return True
            try:
                return await self._send("head", lambda: self._marked(key)) is mark
            except ObjectNotFound:
                doubt = False  # gone meanwhile: once more

    async def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        validate_key(key)
        await self._send("delete", lambda: self._remove(key))

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects whose key starts with `prefix`, a page of a thousand a request."""
        validate_prefix(prefix)
        after = ""
        while True:
            page = await self._send("list", partial(self._page, prefix, after))
            for info in page:
                yield info
            if len(page) < PAGE:
                return
            after = page[-1].key

    # -- at the service -------------------------------------------------------------------------

    def _write(self, key: str, body: bytes, mark: object) -> None:
        modified = _BEGINNING + timedelta(seconds=asyncio.get_running_loop().time())
        self._objects[key] = body, modified
        self._marks[key] = mark

    def _marked(self, key: str) -> object:
        self._find(key)
        return self._marks[key]

    def _remove(self, key: str) -> None:
        self._objects.pop(key, None)
        self._marks.pop(key, None)

    def _page(self, prefix: str, after: str) -> Sequence[ObjectInfo]:
        keys = sorted(key for key in self._objects if key.startswith(prefix) and key > after)
        return [
            ObjectInfo(key, len(self._objects[key][0]), self._objects[key][1])
            for key in keys[:PAGE]
        ]

    # -- the client -----------------------------------------------------------------------------

    async def _send(
        self,
        operation: Operation,
        act: Callable[[], T],
        size: int | Callable[[T], int] = 0,
        *,
        conditional: bool = False,
        lost: Callable[[], None] | None = None,
    ) -> T:
        """Send a request until it is answered; for 412, raises `RefusedError`."""
        now = asyncio.get_running_loop().time
        deadline = now() + _PATIENCE
        failures = losses = 0
        while True:
            try:
                return await self._bucket.request(operation, act, size, conditional=conditional)
            except LostError as error:
                losses += 1
                if lost is not None:
                    lost()
                if losses == _ATTEMPTS:
                    raise StorageError(
                        f"{operation} on {self.url} was not answered in {losses} attempts; "
                        "a Profile with fewer losses has fewer of these"
                    ) from error
            except RefusedError as error:
                if error.status == _EXISTS:
                    raise
                if now() >= deadline:
                    raise StorageError(
                        f"{operation} on {self.url} was answered {error.status} for "
                        f"{_PATIENCE:g} s; send fewer requests a second"
                    ) from error
            failures += 1
            longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (failures - 1))
            await asyncio.sleep(self._jitter.uniform(0, longest))

    def __repr__(self) -> str:
        return f"<SimulatedStore {self.url} objects={len(self._objects)}>"
