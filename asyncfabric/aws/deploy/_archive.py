"""Archives that are the same bytes whenever they hold the same files."""

from __future__ import annotations

import hashlib
import stat
import zipfile
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""
_LEVEL = 6


class Archive(NamedTuple):
    """A zip on the disk."""

    path: Path
    size: int
    """Bytes."""
    unpacked: int
    """Bytes of its files."""
    sha256: str
    """Lowercase hexadecimal digits."""


def write_archive(path: Path, files: Mapping[str, Path | bytes]) -> Archive:
    """Write a zip of `files`, by their names in it.

    Order, times, permissions and compression don't depend on the machine: the same files give the
    same bytes wherever zlib is the same. Every file is readable by all and, where it is a library
    or stands in a `bin` directory, executable: Lambda's user isn't the one who packs.
    """
    unpacked = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name in sorted(files):
            content = files[name]
            data = content if isinstance(content, bytes) else content.read_bytes()
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system = 3  # Unix, whatever this is
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | (0o755 if _is_executable(name) else 0o644)) << 16
            archive.writestr(info, data)
            unpacked += len(data)
    return Archive(path, path.stat().st_size, unpacked, _digest(path))


def _is_executable(name: str) -> bool:
    return ".so" in name.rpartition("/")[2] or name.startswith("bin/")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
