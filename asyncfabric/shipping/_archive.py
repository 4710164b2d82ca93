"""The user's own packages as one archive, named by its digest.

A zip of stored members: the bytes depend on names and contents of the files and on nothing else,
neither on times, permissions, the order of directories nor the version of a compressor. So the same
code has the same digest on every machine.
"""

# ruff: noqa: PTH123
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import SerializationError
from asyncfabric_storage import digest

from ._compiled import HEADER_BYTES, is_compiled, unfit
from ._never import holds_secret

if TYPE_CHECKING:
    from ._compiled import Target
    from ._selection import File
    from ._survey import Survey

_EPOCH = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_PLAIN = 0o100644
_EXECUTABLE = 0o100755
_RUNS = (b"#!", b"\x7fELF")


class Archive(NamedTuple):
    """The user's own packages, packed.

    Attributes:
        digest: SHA-256 of `data`.
        data: the zip file; its members are not compressed.
        size: of the files in it, in bytes.
        files: their names.
        withheld: names of files that stay here because they hold secrets.
    """

    digest: str
    data: bytes
    size: int
    files: tuple[str, ...]
    withheld: tuple[str, ...]


def build_archive(found: Survey, target: Target) -> Archive:
    """Pack the files of a survey for workers on a platform.

    Raises `SerializationError` that names a file that can't be read, and `DeploymentError` that
    names all compiled parts for other platforms.
    """
    compiled = [file for file in found.files if is_compiled(file.name)]
    headers = {file.name: _read(file, HEADER_BYTES) for file in compiled}
    left_out = unfit(found.files, headers, target, found.soft - found.hard)
    withheld = set(found.withheld)
    packed: list[str] = []
    size = 0
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in found.files:
            if file.name in left_out:
                continue
            data = _read(file)
            if holds_secret(file.name, data):
                withheld.add(file.name)
                continue
            archive.writestr(_member(file.name, data), data)
            packed.append(file.name)
            size += len(data)
    whole = buffer.getvalue()
    return Archive(digest(whole), whole, size, tuple(packed), tuple(sorted(withheld)))


def _member(name: str, data: bytes) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.create_system = _UNIX
    # By content: permissions differ between checkouts and file systems.
    member.external_attr = (_EXECUTABLE if data.startswith(_RUNS) else _PLAIN) << 16
    return member


def _read(file: File, size: int = -1) -> bytes:
    try:
        with open(file.path, "rb") as opened:
            return opened.read(size)
    except OSError as error:
        raise SerializationError(
            f"{file.path} can't be read ({error.strerror}), so it can't be sent to workers; make "
            "it readable, or leave it out by exclude in [tool.asyncfabric] of pyproject.toml"
        ) from error
