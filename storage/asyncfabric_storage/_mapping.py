"""Bytes between open files and memory."""

import mmap
import os
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

MAP_FROM = 1024 * 1024
"""Bytes from which a whole object is mapped instead of read."""

MAX_MAPS = 128
"""Mappings of one process at a time: up to Python 3.12 each holds a file descriptor."""

_CHUNK = 8 * 1024 * 1024
_MAX_VIEWS = 1024  # IOV_MAX of Linux and macOS

_maps: "WeakSet[mmap.mmap]" = WeakSet()


def read_range(fd: int, size: int, start: int, end: int) -> memoryview:
    """Return the bytes `[start, end)` of an open file of `size` bytes, read-only.

    A large file that is wanted whole is mapped, so that several processes share the one copy in
    the page cache. That is safe as files are never changed in place, only replaced by renames.
    Parts of files are copied: those are often files of the user's own, which may be cut short.
    """
    length = end - start
    if length == size >= MAP_FROM and len(_maps) < MAX_MAPS:
        mapped = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
        _maps.add(mapped)
        return memoryview(mapped)
    if length < MAP_FROM:
        if start:
            os.lseek(fd, start, os.SEEK_SET)
        data = os.read(fd, length)
        if len(data) == length:
            return memoryview(data)
    return _read_large(fd, start, length)


def _read_large(fd: int, start: int, length: int) -> memoryview:
    os.lseek(fd, start, os.SEEK_SET)
    buffer = memoryview(bytearray(length))
    done = 0
    with open(fd, "rb", buffering=0, closefd=False) as file:
        while done < length:
            count = file.readinto(buffer[done : done + _CHUNK])
            if not count:
                break  # cut short by someone who does not play by the rules
            done += count
    return buffer[:done].toreadonly()


def write_all(fd: int, views: list[memoryview], aborted: "Callable[[], bool]") -> None:
    """Write the views one after another; stop between chunks once `aborted` says so."""
    first = 0
    while first < len(views) and not aborted():
        batch: list[memoryview] = []
        size = 0
        while first < len(views) and len(batch) < _MAX_VIEWS and size < _CHUNK:
            view = views[first]
            room = _CHUNK - size
            if len(view) > room:
                batch.append(view[:room])
                views[first] = view[room:]
                size = _CHUNK
            else:
                batch.append(view)
                size += len(view)
                first += 1
        _write_batch(fd, batch, size)


def _write_batch(fd: int, batch: list[memoryview], size: int) -> None:
    if hasattr(os, "writev"):
        written = os.writev(fd, batch)
        if written == size:
            return
    else:
        written = 0
    for view in batch:
        rest = view[min(written, len(view)) :]
        written -= len(view) - len(rest)
        while rest:
            rest = rest[os.write(fd, rest) :]
