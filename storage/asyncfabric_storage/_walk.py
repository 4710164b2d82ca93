"""The objects under a directory, in order of keys."""

# ruff: noqa: PTH108
# pathlib costs 5 ms to import and several microseconds a call; paths here are strings.

import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from ._errors import ConfigurationError, StorageError
from ._keys import validate_key
from ._paths import from_name, is_staged, to_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._directory import Directory

_STALE = 24 * 60 * 60
"""Seconds after which a half-written file is taken for the leftover of a dead process."""


class _Entry(NamedTuple):
    sort: str
    key: str
    entry: "os.DirEntry[str]"
    folder: bool


def walk(directory: "Directory", prefix: str) -> "Iterator[tuple[str, os.stat_result]]":
    """Yield the key and status of every object whose key starts with `prefix`, in order of keys.

    Memory is taken for one directory at a time on the way down, not for the whole tree.
    """
    start = prefix[: prefix.rfind("/") + 1]
    stack = [_entries(directory.folder(start), start)]
    while stack:
        if not stack[-1]:
            stack.pop()
            continue
        _, key, entry, folder = stack[-1].pop()
        if folder:
            key += "/"
            if key.startswith(prefix) or prefix.startswith(key):
                stack.append(_entries(entry.path, key))
        elif key.startswith(prefix) and _names(directory, key, entry.path):
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # deleted since
            if stat.S_ISREG(status.st_mode):
                yield key, status


def _names(directory: "Directory", key: str, path: str) -> bool:
    """Whether `key` is valid and leads to `path`: other programs may have put anything there."""
    try:
        return f"{directory.root}/{to_path(validate_key(key))}" == path.replace(os.sep, "/")
    except ConfigurationError:
        return False


def _entries(path: str, before: str) -> list[_Entry]:
    """Return what is in a directory, last key first."""
    found: list[_Entry] = []
    _collect(path, before, found)
    found.sort(reverse=True)
    return found


def _collect(path: str, before: str, found: list[_Entry]) -> None:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                name = from_name(entry.name)
                if name is None:
                    _sweep(entry)
                    continue
                text, continued = name
                folder = entry.is_dir(follow_symlinks=False)
                if continued:
                    # Its contents stand between this directory's own entries: keep one order.
                    if folder:
                        _collect(entry.path, before + text, found)
                elif folder or not entry.is_symlink():
                    key = before + text
                    # A directory sorts as what its keys go on with: "a-" < "a/" < "a0".
                    found.append(_Entry(key + "/" if folder else key, key, entry, folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        msg = f"cannot list {path!r}: {error.strerror}; check the directory and its permissions"
        raise StorageError(msg) from error


def _sweep(entry: "os.DirEntry[str]") -> None:
    if not is_staged(entry.name):
        return
    try:
        if time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE:
            os.unlink(entry.path)
    except OSError:
        return
