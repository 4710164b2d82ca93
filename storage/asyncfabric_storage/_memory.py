"""Objects in this process's memory."""

import os
from typing import TYPE_CHECKING, NoReturn
from weakref import WeakValueDictionary

from ._buffers import as_views
from ._errors import ConfigurationError, ObjectNotFound
from ._keys import validate_key, validate_prefix
from ._protocol import ObjectInfo, ObjectStore
from ._ranges import check_range, clip_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from ._buffers import Data

_stores: "WeakValueDictionary[str, MemoryStore]" = WeakValueDictionary()


class MemoryStore(ObjectStore):
    """A store that lives and dies with this object: for tests and for work within one process.

    It is a dict. obstore's memory store was measured at 75 to 160 us an operation against 1 to
    2 us here, since each crosses to its threads and back.

    >>> MemoryStore().url.startswith("memory://")
    True
    """

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, datetime]] = {}
        self._id = os.urandom(8).hex()
        self._pid = os.getpid()
        _stores[self._id] = self

    @classmethod
    def find(cls, identity: str) -> "MemoryStore":
        """Return the living store of this process whose URL is `memory://{identity}`.

        Raises:
            ConfigurationError: there is none here.
        """
        store = _stores.get(identity)
        # After a fork the child has a copy, which is another store by then.
        if store is None or store._pid != os.getpid():  # noqa: SLF001
            msg = (
                f"there is no memory store {identity!r} in this process; a memory store can be "
                "reached only from the process that made it, while it is alive: "
                "use file:///some/dir to share one"
            )
            raise ConfigurationError(msg)
        return store

    @property
    def url(self) -> str:
        """`memory://` and this store's own name, which only this process knows."""
        return f"memory://{self._id}"

    @property
    def shared(self) -> bool:
        """False: no other process can open it."""
        return False

    @property
    def ephemeral(self) -> bool:
        """True: it is gone when nothing refers to it."""
        return True

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        """Return the object's bytes `[start, end)`; see `ObjectStore.get`. Nothing is copied."""
        check_range(start, end)
        data, _ = self._find(key)
        start, end = clip_range(key, len(data), start, end)
        return memoryview(data)[start:end]

    async def put(self, key: str, data: "Data") -> None:
        """Write the object; see `ObjectStore.put`."""
        validate_key(key)
        self._objects[key] = (b"".join(as_views(data)), _now())

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        """Write the object unless it exists; see `ObjectStore.put_if_absent`."""
        validate_key(key)
        if key in self._objects:
            return False
        # setdefault and not an assignment: another thread's loop may use this store, too.
        entry = (b"".join(as_views(data)), _now())
        return self._objects.setdefault(key, entry) is entry

    async def head(self, key: str) -> ObjectInfo:
        """Return the object's size and age; see `ObjectStore.head`."""
        data, modified = self._find(key)
        return ObjectInfo(key, len(data), modified)

    async def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        self._objects.pop(validate_key(key), None)

    async def list(self, prefix: str = "") -> "AsyncIterator[ObjectInfo]":
        """Yield the objects whose key starts with `prefix`; see `ObjectStore.list`."""
        validate_prefix(prefix)
        for key in sorted(key for key in tuple(self._objects) if key.startswith(prefix)):
            if (entry := self._objects.get(key)) is not None:
                yield ObjectInfo(key, len(entry[0]), entry[1])

    async def aclose(self) -> None:
        """Do nothing: the objects stay for as long as something refers to the store."""

    def __reduce__(self) -> NoReturn:
        msg = (
            "a memory store cannot travel to another process; "
            "use open_store('file:///some/dir') instead"
        )
        raise ConfigurationError(msg)

    def __repr__(self) -> str:
        return f"<MemoryStore {self.url} objects={len(self._objects)}>"

    def _find(self, key: str) -> "tuple[bytes, datetime]":
        try:
            return self._objects[validate_key(key)]
        except KeyError:
            msg = f"there is no object {key!r} in {self.url}; list(...) shows what there is"
            raise ObjectNotFound(msg) from None


def _now() -> "datetime":
    from datetime import datetime, timezone

    return datetime.now(timezone.utc)  # noqa: UP017
