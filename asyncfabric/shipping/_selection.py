"""Which files of the user's packages travel."""

# ruff: noqa: PTH110, PTH111, PTH112, PTH116, PTH118, PTH119, PTH120
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import os
import stat
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import SerializationError

from ._globs import matches
from ._metadata import metadata_of
from ._never import is_environment, is_litter, is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._places import Place
    from ._rules import Rules

MAX_FILES = 20_000
"""Files in an archive at most."""
MAX_BYTES = 250 * 1024 * 1024
"""Bytes in an archive at most, unpacked."""
_NAMED = 5


class File(NamedTuple):
    """A file that travels.

    Attributes:
        name: its name in the archive, with slashes.
        path: where it is.
        size: in bytes.
        stamp: what changes with its content: modification, change, inode.
    """

    name: str
    path: str
    size: int
    stamp: tuple[int, int, int]


class Selection:
    """Files by their names in the archive, and what was left behind as secret."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.withheld: list[str] = []
        self._bytes = 0
        self._escaping: list[str] = []

    def add_place(self, place: Place, rules: Rules) -> None:
        """Add all files of a top-level package or module of the user's own.

        Raises `SerializationError` for what is too much, can't be read or leads out of the package.
        """
        for path in place.paths:
            if _is_home(path):
                raise SerializationError(
                    f"package {place.top!r} is the directory {path}, and a home directory is never "
                    "sent to workers; put the code into a directory of its own"
                )
            walk = _Walk(self, os.path.realpath(path), os.path.dirname(path), rules)
            last = os.path.basename(path)
            walk.start(path, place.top + ("" if os.path.isdir(path) else last[last.index(".") :]))
            for name, file in metadata_of(path):
                walk.start(file, name)
        self._check(place)

    def add_included(self, path: str, root: str, rules: Rules) -> None:
        """Add a file or directory below `root` that `include` asks for."""
        name = os.path.relpath(path, root).replace(os.sep, "/")
        is_directory = os.path.isdir(path)
        real = os.path.realpath(path)
        is_link = real != os.path.join(os.path.realpath(root), *name.split("/"))
        if _is_secret_path(name, is_directory=is_directory) or (
            is_link and _is_secret_path(real, is_directory=is_directory)
        ):
            self.withhold(name)
            return
        walk = _Walk(self, os.path.realpath(root), root, rules)
        walk.start(path, name)
        self._check(None)

    def add(self, file: File, top: str) -> None:
        """Add a file; what is there already comes first, as on `sys.path`."""
        if file.name in self.files:
            return
        self.files[file.name] = file
        self._bytes += file.size
        if len(self.files) > MAX_FILES or self._bytes > MAX_BYTES:
            self._refuse(top)

    def files_by_name(self) -> tuple[File, ...]:
        """Return the files, sorted."""
        return tuple(self.files[name] for name in sorted(self.files))

    def withhold(self, name: str) -> None:
        """Note a secret that stays here."""
        if name not in self.withheld:
            self.withheld.append(name)

    def escapes(self, name: str, target: str) -> None:
        """Note a symbolic link that leads out of its package."""
        self._escaping.append(f"{name} -> {target}")

    def _check(self, place: Place | None) -> None:
        if self._escaping:
            links = ", ".join(self._escaping[:_NAMED])
            more = len(self._escaping) - _NAMED
            raise SerializationError(
                f"symbolic links lead out of {place.top if place else 'the directory'}: {links}"
                f"{f' and {more} more' if more > 0 else ''}; add them to include in "
                "[tool.asyncfabric] of pyproject.toml if what they lead to shall travel, or to "
                "exclude"
            )

    def _refuse(self, top: str) -> None:
        sizes: dict[str, int] = {}
        for file in self.files.values():
            parts = file.name.split("/")
            for depth in range(2, len(parts)):
                folder = "/".join(parts[:depth]) + "/"
                sizes[folder] = sizes.get(folder, 0) + file.size
            sizes[file.name] = file.size
        largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:_NAMED]
        listed = ", ".join(f"{name} ({sizes[name] / 1e6:,.1f} MB)" for name in largest)
        raise SerializationError(
            f"the code to send is too much: more than {MAX_FILES:,} files or "
            f"{MAX_BYTES / 2**20:.0f} MB, counted until package {top!r}; the largest so far: "
            f'{listed}. Leave files out by exclude = ["{largest[0].rstrip("/")}"] in '
            "[tool.asyncfabric] of pyproject.toml, send data through shared= or storage, or, if "
            f"{top!r} is not meant to be a package (a project's root with an __init__.py, or a "
            "directory of data), rename it or remove the __init__.py"
        )


class _Walk:
    """One walk through a directory; never leaves `real`, its own real path."""

    def __init__(self, selection: Selection, real: str, root: str, rules: Rules) -> None:
        self._selection = selection
        self._real = real
        self._root = root
        self._rules = rules
        self._above: set[tuple[int, int]] = set()

    def _excluded(self, name: str, path: str) -> bool:
        return bool(self._rules.exclude) and matches(self._rules.exclude, self._names(name, path))

    def start(self, path: str, name: str) -> None:
        if self._excluded(name, path):
            return
        try:
            if os.path.isdir(path):
                self._directory(path, name)
            else:
                self._file(path, name, os.stat(path))
        except OSError as error:
            where: str = error.filename or path
            raise SerializationError(
                f"{where} can't be read ({error.strerror or error}), so the package it belongs to "
                "can't be sent to workers; make it readable, or leave it out by exclude in "
                "[tool.asyncfabric] of pyproject.toml"
            ) from error

    def _directory(self, path: str, name: str) -> None:
        status = os.stat(path)
        identity = status.st_dev, status.st_ino
        if identity in self._above:
            return  # a link to where we come from
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        names = frozenset(entry.name.lower() for entry in entries)
        if is_environment(names):
            return
        self._above.add(identity)
        for entry in entries:
            self._entry(entry, f"{name}/{entry.name}", names)
        self._above.discard(identity)

    def _file(self, path: str, name: str, status: os.stat_result) -> None:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise SerializationError(
                f"the name of file {path!r} is not Unicode; rename it, or leave it out by exclude"
            ) from None
        # macOS keeps names decomposed; sources write them composed.
        name = unicodedata.normalize("NFC", name)
        stamp = status.st_mtime_ns, status.st_ctime_ns, status.st_ino
        top = name.partition("/")[0]
        self._selection.add(File(name, path, status.st_size, stamp), top)

    def _entry(self, entry: os.DirEntry[str], name: str, siblings: frozenset[str]) -> None:
        is_directory = entry.is_dir()
        if is_litter(entry.name, siblings, is_directory=is_directory):
            return
        if is_secret(entry.name, is_directory=is_directory):
            self._selection.withhold(name)
            return
        if self._excluded(name, entry.path):
            return
        if entry.is_symlink() and not self._follows(entry, name):
            return
        if is_directory:
            self._directory(entry.path, name)
            return
        status = entry.stat()
        if stat.S_ISREG(status.st_mode):  # no sockets, pipes and devices
            self._file(entry.path, name, status)

    def _follows(self, entry: os.DirEntry[str], name: str) -> bool:
        target = os.path.realpath(entry.path)
        if not os.path.exists(target):
            return False  # it leads nowhere here either
        if _is_secret_path(target, is_directory=os.path.isdir(target)):
            self._selection.withhold(name)
            return False
        if target == self._real or target.startswith(self._real + os.sep):
            return True
        if matches(self._rules.include, self._names(name, entry.path)):
            return True
        self._selection.escapes(name, target)
        return False

    def _names(self, name: str, path: str) -> Iterator[str]:
        """Yield the names that patterns may mean a file by."""
        yield name
        base = self._rules.directory
        if base and base != self._root and path.startswith(base + os.sep):
            yield path[len(base) + 1 :].replace(os.sep, "/")


def _is_secret_path(path: str, *, is_directory: bool) -> bool:
    *above, last = [part for part in path.replace(os.sep, "/").split("/") if part]
    return is_secret(last, is_directory=is_directory) or any(
        is_secret(part, is_directory=True) for part in above
    )


def _is_home(path: str) -> bool:
    real = os.path.realpath(path)
    return real in {os.path.realpath(os.path.expanduser("~")), os.path.dirname(real)}
