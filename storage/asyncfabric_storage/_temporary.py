"""A private directory that goes away with its owner."""

# ruff: noqa: PTH100, PTH112
# pathlib costs 5 ms to import and several microseconds a call; paths here are strings.

import os
from _thread import allocate_lock
from weakref import finalize

from ._directory import Directory
from ._errors import StorageError


class Temporary:
    """A directory made on first use and deleted by `remove`, by garbage collection or at exit."""

    def __init__(self) -> None:
        self._directory: Directory | None = None
        self._removed = False
        self._lock = allocate_lock()

    @property
    def path(self) -> str | None:
        """Where it is, if it has been made."""
        return None if self._directory is None else self._directory.root

    def directory(self) -> Directory:
        """Return the directory, making it first.

        Raises:
            StorageError: it has been removed.
        """
        with self._lock:  # two event loops may use one store
            if self._removed:
                msg = "this temporary store has been removed; open a new one"
                raise StorageError(msg)
            if self._directory is None:
                from tempfile import mkdtemp  # 5 ms that few processes need

                path = os.path.abspath(mkdtemp(prefix="asyncfabric-"))
                # The finalizer runs at the exit of forked children, too: it knows its owner.
                self._finalize = finalize(self, _remove_tree, path, os.getpid())
                self._directory = Directory(path, create=False)
            return self._directory

    def remove(self) -> None:
        """Delete the directory; repeated calls do nothing, and a forked child never does."""
        with self._lock:
            self._removed = True
            if self._directory is not None:
                self._finalize()


def _remove_tree(path: str, owner: int) -> None:
    if os.getpid() == owner:
        import shutil

        shutil.rmtree(path, ignore_errors=True)
        if os.path.isdir(path):
            # A writer added a file while the tree was being removed; it is gone by now.
            shutil.rmtree(path, ignore_errors=True)
