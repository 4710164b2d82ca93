"""The driver's packages in a worker: unpacked once, imported from there, exchanged on change.

An archive is a zip file named by the SHA-256 of its bytes. It is unpacked into a directory of that
name, which appears only when it is complete, so the next process of the same machine can use it.
One archive is on `sys.path` at a time. The modules of the one before it are put aside: two jobs
that take turns in a worker each keep their own modules, with the state and the classes they have.
"""

# ruff: noqa: PTH103, PTH104, PTH112, PTH118, PTH120, PTH123, PTH208
# pathlib costs 5 ms to import; paths here are strings.

from __future__ import annotations

import errno
import importlib
import os
import stat
import sys
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import FabricError, IntegrityError
from asyncfabric_storage import digest as digest_of

from ._module_exchange import (
    forget_classes,
    from_directory,
    leave_path,
    put_back,
    shadowed,
    take_out,
)

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec

    from asyncfabric_storage._buffers import Buffer

MAX_MEMBERS = 25_000
"""Files in an archive at most."""
MAX_BYTES = 512 * 1024 * 1024
"""Bytes of an archive at most, unpacked."""
_PIECE = 1024 * 1024
_METHODS = frozenset({0, 8})  # stored and deflated: every Python has these
_HEX = frozenset("0123456789abcdef")
_DIGEST_LENGTH = 64
_UNPACKING = ".unpacking-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ArchiveError(FabricError):
    """An archive can't be unpacked here; the message says why and what to do."""


def missing_modules(names: Iterable[str]) -> list[str]:
    """Return those of the import names that this process can't import. Imports none of them.

    A name that leads to a mere directory (a namespace package) counts as missing.
    """
    return [name for name in names if not _importable(name)]


def _importable(name: str) -> bool:
    if sys.modules.get(name) is not None:
        return True
    top, *parts = name.split(".")
    spec = _find_spec(top)
    for part in parts:
        if spec is None:
            return False
        # By its last part: a full name would be looked up in sys.modules, package by package.
        spec = PathFinder.find_spec(part, list(spec.submodule_search_locations or ()))
    return spec is not None and spec.origin is not None


def _find_spec(name: str) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, None)
        except Exception:  # noqa: BLE001, S112 - finders of all kinds; the others may know it
            continue
        if spec is not None:
            return spec
    return None


class Archives:
    """The archives of a worker process."""

    def __init__(self, root: str | None = None) -> None:
        """Name the directory to unpack into; by default a private one of this user in /tmp."""
        self._root = root
        self._active: str | None = None
        self._path_entry: str | None = None
        self._aside: tuple[str, dict[str, Any]] | None = None

    @property
    def active(self) -> str | None:
        """The digest of the archive that is on `sys.path`."""
        return self._active

    def holds(self, digest: str) -> bool:
        """Tell whether an archive is unpacked here."""
        return os.path.isdir(self._path(digest))

    def install(self, digest: str, data: Buffer) -> None:
        """Unpack an archive, unless it is unpacked already.

        Raises `IntegrityError` if the bytes are not those of the digest, before anything of them is
        looked at, and `ArchiveError` if they can't be unpacked; nothing is left behind then.
        """
        if self.holds(digest):
            return
        _check(digest, data)
        try:
            self._unpack(digest, data)
        except OSError as error:
            if error.errno not in _FULL or not self._make_room(digest):
                raise self._failed(error) from error
            try:
                self._unpack(digest, data)
            except OSError as again:
                raise self._failed(again) from again

    def activate(self, digest: str | None) -> bool:
        """Put an archive on `sys.path` in place of the former one; None: none at all.

        It comes first, but for the function's own directory: user code comes first in the driver.
        Modules of the former archive leave `sys.modules`, and modules that the archive has under
        the same names. Call it while no user code runs. Returns whether anything changed: functions
        and values that were loaded before belong to other modules then.

        Raises `ArchiveError` for an archive that isn't unpacked.
        """
        if digest == self._active:
            if self._path_entry is not None and self._path_entry not in sys.path:
                _enter_path(self._path_entry)  # user code has taken it out
            return False
        if digest is not None and not self.holds(digest):
            raise ArchiveError(
                f"archive {digest[:12]}... is not in {self._directory()}; install it first"
            )
        aside = self._aside
        if self._active is not None:
            former = self._path(self._active)
            names = from_directory(former)
            leave_path(former)
            self._aside = self._active, take_out(names)
        if digest is not None:
            path = self._path(digest)
            take_out(shadowed(path))
            _enter_path(path)
            if aside is not None and aside[0] == digest:
                put_back(aside[1])
        importlib.invalidate_caches()
        forget_classes()
        self._active = digest
        self._path_entry = None if digest is None else self._path(digest)
        return True

    # -- on disk --------------------------------------------------------------------------------

    def _directory(self) -> str:
        if self._root is None:
            self._root = _private_directory()
        return self._root

    def _path(self, digest: str) -> str:
        if len(digest) != _DIGEST_LENGTH or not _HEX.issuperset(digest):
            raise ArchiveError(f"{digest[:80]!r} is not the digest of an archive")
        return os.path.join(self._directory(), digest)

    def _unpack(self, digest: str, data: Buffer) -> None:
        import shutil
        from tempfile import mkdtemp

        root = self._directory()
        os.makedirs(root, mode=0o700, exist_ok=True)
        _sweep(root)
        aside = mkdtemp(prefix=f"{_UNPACKING}{os.getpid()}-", dir=root)
        try:
            _extract(data, aside)
            os.rename(aside, self._path(digest))
        except OSError:
            if not self.holds(digest):  # else another process was faster
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _make_room(self, digest: str) -> bool:
        """Remove the archives that aren't in use here; tell whether there were any."""
        import shutil

        root = self._directory()
        removed = False
        for name in os.listdir(root):
            if name not in {digest, self._active} and len(name) == _DIGEST_LENGTH:
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)
                removed = True
                if self._aside is not None and self._aside[0] == name:
                    self._aside = None
        return removed

    def _failed(self, error: OSError) -> ArchiveError:
        where = self._directory()
        if error.errno in _FULL:
            return ArchiveError(
                f"the worker has no room in {where} to unpack your packages ({error.strerror}): "
                "deploy with more ephemeral storage, ship less (exclude in [tool.asyncfabric] of "
                "pyproject.toml), or have your calls delete their temporary files"
            )
        return ArchiveError(
            f"the worker can't unpack your packages in {where}: {error}; make the directory "
            "writable for it, or set TMPDIR to one that is"
        )


def _enter_path(path: str) -> None:
    task_root = os.environ.get("LAMBDA_TASK_ROOT")
    place = sys.path.index(task_root) + 1 if task_root in sys.path else 0
    sys.path.insert(place, path)


def _private_directory() -> str:
    """Return this user's directory for archives, or a new one where that isn't to be trusted."""
    from tempfile import gettempdir, mkdtemp

    user = os.getuid() if hasattr(os, "getuid") else "user"
    path = os.path.join(gettempdir(), f"asyncfabric-code-{user}")
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise ArchiveError(
            f"the worker can't make {path} to unpack your packages: {error}; set TMPDIR to a "
            "directory that it may write to"
        ) from error
    mine = stat.S_ISDIR(status.st_mode) and user in {"user", status.st_uid}
    if mine and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return path
    return mkdtemp(prefix="asyncfabric-code-")


def _sweep(root: str) -> None:
    """Remove what processes left that ended while they unpacked."""
    import shutil

    for name in os.listdir(root):
        if name.startswith(_UNPACKING):
            owner = name.removeprefix(_UNPACKING).partition("-")[0]
            if not owner.isdigit() or not _is_other_process(int(owner)):
                shutil.rmtree(os.path.join(root, name), ignore_errors=True)


def _is_other_process(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# -- the zip file -------------------------------------------------------------------------------


def _check(expected: str, data: Buffer) -> None:
    found = digest_of(data)
    if found != expected:
        raise IntegrityError(
            f"the archive of your packages has digest {found[:12]}..., not {expected[:12]}...: it "
            "was changed or damaged on its way; send it again"
        )


def _extract(data: Buffer, directory: str) -> None:
    import io
    import shutil
    import zipfile
    import zlib

    broken: tuple[type[Exception], ...] = (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members)
            for member in members:
                path = os.path.join(directory, *member.filename.rstrip("/").split("/"))
                if member.is_dir():
                    os.makedirs(path, exist_ok=True)
                    continue
                os.makedirs(os.path.dirname(path), exist_ok=True)
                mode = 0o755 if member.external_attr >> 16 & stat.S_IXUSR else 0o644
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with open(os.open(path, flags, mode), "wb") as file, archive.open(member) as packed:
                    # In pieces: all at once, a member that lies about its size inflates to 2 GB.
                    shutil.copyfileobj(packed, file, _PIECE)
    except broken as error:
        raise ArchiveError(f"the archive of your packages is no zip file: {error}") from error


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_BYTES:
        raise ArchiveError(
            f"the archive of your packages unpacks to more than {MAX_MEMBERS:,} files or "
            f"{MAX_BYTES / 2**20:.0f} MB; ship less (exclude in [tool.asyncfabric])"
        )
    seen: set[str] = set()
    for member in members:
        name = member.filename
        parts = name.rstrip("/").split("/")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if (
            not parts[0]
            or not {"", ".", ".."}.isdisjoint(parts)
            or any(mark in name for mark in "\\\0")
            or (":" in parts[0] and os.name == "nt")
            or name != member.orig_filename
        ):
            raise ArchiveError(f"the archive has a member that leads out of it: {name!r}")
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise ArchiveError(f"the archive has a member that is no file: {name!r}")
        if member.compress_type not in _METHODS:
            raise ArchiveError(
                f"the archive has a member packed in a way that is not read here: {name!r}"
            )
        if name in seen:
            raise ArchiveError(f"the archive has two members of the name {name!r}")
        seen.add(name)
