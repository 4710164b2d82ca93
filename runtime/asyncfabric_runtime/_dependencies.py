"""The user's dependencies: an archive in the store, fetched and unpacked once per worker.

A function's zip may have 250 MB unpacked, which numpy, scipy and pandas fill; /tmp takes 10 GB.
"""

# ruff: noqa: PTH100, PTH102, PTH103, PTH104, PTH110, PTH112, PTH114, PTH118, PTH120, PTH123, PTH208
# pathlib costs 5 ms to import; paths here are strings.

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric_storage import ConfigurationError, IntegrityError, StorageError

if TYPE_CHECKING:
    from zipfile import ZipFile

    from asyncfabric_storage import ObjectStore

VARIABLE = "ASYNCFABRIC_DEPENDENCIES"
"""`s3://bucket/key?options#sha256` of a zip; `asyncfabric deploy` sets it."""
_PIECE = 8 * 1024 * 1024
"""Bytes that one request reads."""
_AT_ONCE = 4
_DIGEST_LENGTH = 64
_LINK = 0o12
"""The kind of file that a symbolic link is, in Unix's words."""


class _Reference(NamedTuple):
    store_url: str
    key: str
    digest: str


def install_dependencies() -> None:
    """Put the packages that the function was deployed with on `sys.path`, right behind ours.

    Does nothing where there are none, and fetches nothing where they are unpacked already.

    Raises:
        ConfigurationError: the variable is not of the form that `asyncfabric deploy` writes.
        IntegrityError: the archive isn't the one that was deployed.
        StorageError: it can't be read, or /tmp can't hold it.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return
    reference = _parse(text)
    folder = os.path.join(_home(), reference.digest)
    if not os.path.isdir(folder):
        _unpack(reference, folder)
    if folder not in sys.path:
        sys.path.insert(_behind_ours(), folder)


def _parse(text: str) -> _Reference:
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(text)
    folder, _, key = parts.path.rpartition("/")
    digest = parts.fragment
    good = len(digest) == _DIGEST_LENGTH and not digest.strip("0123456789abcdef")
    if not (parts.scheme and key and good):
        msg = f"{VARIABLE}={text!r} names no archive and its SHA-256; deploy again"
        raise ConfigurationError(msg)
    return _Reference(urlunsplit(parts._replace(path=folder, fragment="")), key, digest)


def _home() -> str:
    """Return a directory that nobody else can write to."""
    import tempfile

    home = os.path.join(tempfile.gettempdir(), f"asyncfabric-dependencies-{os.getuid()}")
    os.makedirs(home, mode=0o700, exist_ok=True)
    status = os.lstat(home)
    if status.st_uid != os.getuid() or status.st_mode & 0o022 or os.path.islink(home):
        msg = f"{home} is another user's; delete it, or set TMPDIR to a directory of your own"
        raise ConfigurationError(msg)
    return home


def _behind_ours() -> int:
    """Return where on `sys.path` user packages belong: behind ours, before the runtime's own."""
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return sys.path.index(ours) + 1 if ours in sys.path else 0


def _unpack(reference: _Reference, folder: str) -> None:
    """Fetch and unpack beside `folder`, then take its name: all of it is there, or nothing."""
    import asyncio
    import shutil
    import zipfile

    _clear(os.path.dirname(folder))
    scratch = f"{folder}.{os.getpid()}"
    os.mkdir(scratch)
    try:
        path = os.path.join(scratch, "archive.zip")
        asyncio.run(_fetch(reference, path))
        inside = os.path.join(scratch, "packages")
        os.mkdir(inside)
        try:
            with zipfile.ZipFile(path) as archive:
                _check(archive, scratch)
                archive.extractall(inside)
        except zipfile.BadZipFile as error:
            msg = f"the dependencies are no zip ({error}); deploy them again"
            raise IntegrityError(msg) from error
        try:
            os.rename(inside, folder)
        except OSError:
            if not os.path.isdir(folder):  # else another worker was faster
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _clear(home: str) -> None:
    """Delete what killed workers have left: Lambda starts a slow one anew, with the same /tmp."""
    import shutil

    for name in os.listdir(home):
        process = name.partition(".")[2]
        if process and (int(process) == os.getpid() or not os.path.exists(f"/proc/{process}")):
            shutil.rmtree(os.path.join(home, name), ignore_errors=True)


async def _fetch(reference: _Reference, path: str) -> None:
    """Write the archive to `path`, in pieces: a small worker can't hold it in memory."""
    import asyncio
    import hashlib

    from asyncfabric_storage import open_store

    store = open_store(reference.store_url)
    sha = hashlib.sha256()
    try:
        size = (await store.head(reference.key)).size
        _check_space(size, os.path.dirname(path))
        with open(path, "wb") as file:  # noqa: ASYNC230 - nothing else runs yet
            for start in range(0, size, _PIECE * _AT_ONCE):
                stop = min(start + _PIECE * _AT_ONCE, size)
                for piece in await asyncio.gather(
                    *(_piece(store, reference.key, at, stop) for at in range(start, stop, _PIECE))
                ):
                    sha.update(piece)
                    file.write(piece)
    except StorageError as error:
        msg = f"the dependencies can't be read from {store.url}: {error}; deploy them again"
        raise StorageError(msg) from error
    finally:
        await store.aclose()
    if sha.hexdigest() != reference.digest:
        msg = f"{reference.key} in {store.url} is not the archive that was deployed; deploy again"
        raise IntegrityError(msg)


async def _piece(store: ObjectStore, key: str, start: int, stop: int) -> memoryview:
    return await store.get(key, start=start, end=min(start + _PIECE, stop))


def _check(archive: ZipFile, folder: str) -> None:
    """Refuse what would be written elsewhere, and what doesn't fit."""
    for info in archive.infolist():
        name = info.filename
        if (
            info.external_attr >> 28 == _LINK
            or name.startswith("/")
            or "\\" in name
            or ".." in name.split("/")
        ):
            msg = f"the dependencies hold {name!r}, which may not be unpacked; deploy them again"
            raise IntegrityError(msg)
    _check_space(sum(info.file_size for info in archive.infolist()), folder)


def _check_space(size: int, folder: str) -> None:
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if size > free:
        msg = (
            f"the dependencies need {size >> 20} MB more of /tmp, where {free >> 20} MB are free; "
            "deploy with a larger --ephemeral-storage"
        )
        raise StorageError(msg)
