"""Objects as files of a local directory."""

# ruff: noqa: PTH100
# pathlib costs 5 ms to import and several microseconds a call; paths here are strings.

import os
from itertools import islice
from typing import TYPE_CHECKING

from . import _threads
from ._buffers import as_views
from ._directory import Directory
from ._errors import StorageError
from ._keys import validate_key, validate_prefix
from ._protocol import ObjectInfo, ObjectStore
from ._ranges import check_range
from ._temporary import Temporary
from ._walk import walk

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime
    from typing import Self

    from ._buffers import Data

_PAGE = 1000
"""Objects a listing reads ahead in one go."""


class LocalStore(ObjectStore):
    """A store in a directory, shared by the processes of one machine.

    The key `a/b` is the file `a/b` below the root, so a directory of data that is there already
    can be read as a store. What a directory cannot do: hold both `a` and `a/b`; where the file
    system ignores case (macOS by default), keys that differ only in case are one and the same.
    Symbolic links below the root are not followed, listed or replaced. Results of 1 MiB and more
    may be views of the page cache: do not cut the files of a store short in place.

    Objects survive any process, but are not flushed to the disk: after a power failure the latest
    ones may be missing or empty.

    >>> LocalStore("/tmp/results").url
    'file:///tmp/results'
    """

    def __init__(self, root: "str | os.PathLike[str]") -> None:
        """Name the directory; it is made by the first write. A relative one is made absolute."""
        path: str = os.path.abspath(root)
        self._directory: Directory = Directory(path)
        self._temporary: Temporary | None = None

    @classmethod
    def temporary(cls) -> "Self":
        """Return a store in a new private directory, which is deleted with the store.

        The directory is made by the first use (its `url` included), and deleted by `aclose()`, when
        the store is garbage collected or when the process that made it exits.
        """
        store = cls.__new__(cls)
        store._temporary = Temporary()  # noqa: SLF001
        return store

    @property
    def root(self) -> str:
        """The absolute path of the directory."""
        return self._files().root or "/"

    @property
    def url(self) -> str:
        """`file://` and the absolute path of the directory."""
        from urllib.parse import quote  # 3 ms that few imports need

        path = self.root.replace(os.sep, "/")
        return f"file://{'' if path.startswith('/') else '/'}{quote(path)}"

    @property
    def shared(self) -> bool:
        """True: every process of this machine can open it by its URL."""
        return True

    @property
    def ephemeral(self) -> bool:
        """Whether this is a temporary store, which goes away with its process."""
        return self._temporary is not None

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        """Return the object's bytes `[start, end)`; see `ObjectStore.get`."""
        validate_key(key)
        check_range(start, end)
        files = self._files()
        return await _threads.run(lambda _: files.read(key, start, end))

    async def put(self, key: str, data: "Data") -> None:
        """Write the object; see `ObjectStore.put`."""
        await self._write(key, data, replace=True)

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        """Write the object unless it exists; see `ObjectStore.put_if_absent`."""
        return await self._write(key, data, replace=False)

    async def head(self, key: str) -> ObjectInfo:
        """Return the object's size and age; see `ObjectStore.head`."""
        validate_key(key)
        files = self._files()
        status = await _threads.run(lambda _: files.status(key))
        return ObjectInfo(key, status.st_size, _time(status))

    async def delete(self, key: str) -> None:
        """Delete the object, if there is one, and the directories that are empty without it."""
        validate_key(key)
        files = self._files()
        await _threads.run_to_end(lambda _: files.remove(key))

    async def list(self, prefix: str = "") -> "AsyncIterator[ObjectInfo]":
        """Yield the objects whose key starts with `prefix`; see `ObjectStore.list`."""
        validate_prefix(prefix)
        files = self._files()
        found = await _threads.run(lambda _: walk(files, prefix))
        while page := await _threads.run(_next_page(found)):
            for info in page:
                yield info

    async def aclose(self) -> None:
        """Delete the directory if it is temporary; do nothing otherwise."""
        if self._temporary is not None:
            await _threads.run_to_end(lambda _: self.remove())

    def remove(self) -> None:
        """Delete a temporary store's directory and all that is in it, without an event loop.

        Raises:
            StorageError: this is not a temporary store; nothing has been deleted.
        """
        if self._temporary is None:
            msg = f"{self.url} is not a temporary store; delete the directory itself if you mean to"
            raise StorageError(msg)
        self._temporary.remove()

    def __reduce__(self) -> "tuple[type[LocalStore], tuple[str]]":
        # The copy of a temporary store is not the owner of the directory.
        return (LocalStore, (self.root,))

    def __repr__(self) -> str:
        if self._temporary is not None:
            return f"<LocalStore temporary {self._temporary.path or '(not made yet)'}>"
        return f"<LocalStore {self.url}>"

    def _files(self) -> Directory:
        return self._directory if self._temporary is None else self._temporary.directory()

    async def _write(self, key: str, data: "Data", *, replace: bool) -> bool:
        validate_key(key)
        views = as_views(data)
        files = self._files()
        try:
            return await _threads.run_to_end(
                lambda job: files.write(key, views, replace=replace, aborted=lambda: job.aborted)
            )
        finally:
            # Not left to the garbage collector: a bytearray cannot grow while a view of it lives.
            for view in views:
                view.release()


def _next_page(
    found: "Iterator[tuple[str, os.stat_result]]",
) -> "Callable[[object], builtins.list[ObjectInfo]]":
    return lambda _: [
        ObjectInfo(key, status.st_size, _time(status)) for key, status in islice(found, _PAGE)
    ]


def _time(status: os.stat_result) -> "datetime":
    from datetime import datetime, timezone

    return datetime.fromtimestamp(status.st_mtime, timezone.utc)  # noqa: UP017
