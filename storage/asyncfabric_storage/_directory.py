"""Objects as files of a directory tree: the blocking half of `LocalStore`.

obstore's LocalStore was tried first. It refuses the key `x#1` (its own staging files are named so)
and segments above 255 bytes, lists in the order of the disk, follows symbolic links out of its
root, and takes 120 to 217 us a read of 1 KiB at 64 in flight, where this takes 16 to 30.

Writes go to a file with a reserved name in the directory of the object, and become the object
by one atomic step: a rename, or a hard link where there must not be an object yet (a rename
would replace it). A process killed in between leaves that file, which no key can name and no
listing shows; listings delete such files when they are a day old. Nothing is flushed to the disk:
objects survive the death of processes, not that of the machine.
"""

# ruff: noqa: PTH103, PTH106, PTH108, PTH112, PTH120
# pathlib costs 5 ms to import and several microseconds a call; paths here are strings.

import errno
import os
import stat
from typing import TYPE_CHECKING

from ._errors import ConfigurationError, ObjectNotFound, StorageError
from ._mapping import read_range, write_all
from ._paths import staged_name, to_path
from ._ranges import clip_range

if TYPE_CHECKING:
    from collections.abc import Callable

# O_NOFOLLOW: see `_check_parents`. O_NONBLOCK: opening a named pipe must not wait for a writer.
_READ = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")
)
_WRITE = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_BINARY"))
)
# A directory may be pruned between its making and its use, by a delete elsewhere: try again.
_TRIES = 100
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class Aborted(Exception):  # not an error: nobody is left to see it
    """A write stopped since its caller was cancelled."""


class Directory:
    """The files under one root, named by keys. Keys are valid by the time they come here."""

    def __init__(self, root: str, *, create: bool = True) -> None:
        # Without the slash of "/", so that a path is always the root, a slash and a name.
        self.root = "" if root == "/" else root
        self._create = create

    def read(self, key: str, start: int, end: int | None) -> memoryview:
        """Return the bytes `[start, end)` of an object."""
        path = self._path(key)
        try:
            fd = os.open(path, _READ)
        except OSError as error:
            raise self._failure(error, "read", key, path) from error
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise self._absent(key)
            start, end = clip_range(key, status.st_size, start, end)
            return read_range(fd, status.st_size, start, end)
        except OSError as error:
            raise self._failure(error, "read", key, path) from error
        finally:
            os.close(fd)

    def status(self, key: str) -> os.stat_result:
        """Return the file status of an object."""
        path = self._path(key)
        try:
            status = os.lstat(path)
        except OSError as error:
            raise self._failure(error, "look up", key, path) from error
        if stat.S_ISLNK(status.st_mode):
            raise self._link(key, path)
        if not stat.S_ISREG(status.st_mode):
            raise self._absent(key)
        return status

    def write(
        self, key: str, views: list[memoryview], *, replace: bool, aborted: "Callable[[], bool]"
    ) -> bool:
        """Write an object; return whether it was written.

        It is not where `replace` is false and there was one already.
        """
        path = self._path(key)
        if not replace and self._exists(key, path):
            return False
        try:
            fd, staged = self._stage(key, path)
            try:
                try:
                    write_all(fd, views, aborted)
                finally:
                    os.close(fd)
                if aborted():
                    raise Aborted
                return self._publish(key, staged, path, replace=replace)
            finally:
                _unlink(staged)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._conflict(key) from error
        except OSError as error:
            raise self._failure(error, "write", key, path) from error

    def remove(self, key: str) -> None:
        """Delete an object, and the directories that are empty then."""
        path = self._path(key)
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                raise self._link(key, path)
            if not stat.S_ISREG(status.st_mode):
                return
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._failure(error, "delete", key, path) from error
        parent = os.path.dirname(path)
        while len(parent) > len(self.root):
            try:
                os.rmdir(parent)
            except OSError:
                return  # not empty
            parent = os.path.dirname(parent)

    def folder(self, prefix: str) -> str:
        """Return the path of the directory for a prefix that is empty or ends in a slash."""
        path = f"{self.root}/{to_path(prefix)}"
        self._check_parents(prefix, path)
        return path.rstrip("/") or "/"

    def _path(self, key: str) -> str:
        path = f"{self.root}/{to_path(key)}"
        self._check_parents(key, path)
        return path

    def _check_parents(self, key: str, path: str) -> None:
        # No symbolic link is followed below the root, so that no key leads out of it. A link put
        # there between this check and the use is beyond what is guarded against: who can do
        # that can write the files, too.
        position = path.find("/", len(self.root) + 1)
        while position >= 0:
            try:
                if stat.S_ISLNK(os.lstat(path[:position]).st_mode):
                    raise self._link(key, path[:position])
            except OSError:
                return  # absent: the operation itself will say so
            position = path.find("/", position + 1)

    def _exists(self, key: str, path: str) -> bool:
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            return False  # most likely absent; if not, the write will find out
        if stat.S_ISLNK(mode):
            raise self._link(key, path)
        return not stat.S_ISDIR(mode)

    def _stage(self, key: str, path: str) -> tuple[int, str]:
        parent = os.path.dirname(path)
        for _ in range(_TRIES):
            staged = f"{parent}/{staged_name()}"
            try:
                return os.open(staged, _WRITE, 0o666), staged
            except FileNotFoundError:
                self._make(parent)
        msg = f"cannot write object {key!r}: {parent!r} vanishes as often as it is made"
        raise StorageError(msg)

    def _make(self, parent: str) -> None:
        if not self._create and not os.path.isdir(self.root):
            msg = f"the temporary store in {self.root!r} has been removed; open a new one"
            raise StorageError(msg)
        try:
            os.makedirs(parent, exist_ok=True)
        except FileNotFoundError:
            return  # pruned under our hands; the caller tries again

    def _publish(self, key: str, staged: str, path: str, *, replace: bool) -> bool:
        step = os.replace if replace else self._link_new
        try:
            step(staged, path)
        except (FileExistsError, IsADirectoryError):
            if not replace and self._exists(key, path):
                return False
            # A directory is in the way. If it holds nothing it is no beginning of any key.
            _prune_below(path)
            step(staged, path)
        return True

    def _link_new(self, staged: str, path: str) -> None:
        try:
            os.link(staged, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            msg = (
                f"cannot create {path!r} whole: its file system has no hard links; "
                "put the store on another one, or use put() where it does not matter"
            )
            raise StorageError(msg) from error

    def _conflict(self, key: str) -> StorageError:
        msg = (
            f"cannot write object {key!r} in {self.root!r}: in a directory, a name cannot be an "
            "object and also the beginning of other keys ('a' and 'a/b'); choose another key"
        )
        return StorageError(msg)

    def _absent(self, key: str) -> ObjectNotFound:
        msg = f"there is no object {key!r} in {self.root!r}; list(...) shows what there is"
        return ObjectNotFound(msg)

    def _link(self, key: str, path: str) -> StorageError:
        msg = (
            f"{path!r}, on the way to object {key!r}, is a symbolic link, and a store follows none "
            "below its root; open the link's target as a store of its own, or copy it"
        )
        return StorageError(msg)

    def _failure(self, error: OSError, verb: str, key: str, path: str) -> Exception:
        if isinstance(error, (StorageError, ConfigurationError)):
            return error
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return self._absent(key)
        if error.errno == errno.ELOOP:
            return self._link(key, path)
        advice = {
            errno.ENAMETOOLONG: "shorten the key or move the store nearer to the root",
            errno.ENOSPC: "free some space",
            errno.EMFILE: "raise the limit of open files (ulimit -n)",
        }.get(error.errno or 0, "check the directory and its permissions")
        msg = f"cannot {verb} object {key!r} in {self.root!r}: {error.strerror}; {advice}"
        return StorageError(msg)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # renamed into place, or removed with the whole store


def _prune_below(path: str) -> None:
    """Remove a directory in which there are only empty directories."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            continue
