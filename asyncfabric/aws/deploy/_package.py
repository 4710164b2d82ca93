"""The worker's package: the zip of code that is uploaded as a Lambda function."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from asyncfabric._exceptions import DeploymentError

from ._archive import write_archive
from ._bytecode import compile_all
from ._install import install
from ._served import served_files
from ._target import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ._archive import Archive

OURS = ("asyncfabric", "asyncfabric_runtime", "asyncfabric_storage")
MOST_DIRECT = 50 * 1024 * 1024
"""Bytes of a zip that may ride in the request; larger ones go by way of the bucket."""
MOST_UNPACKED = 250 * 1024 * 1024
"""Bytes of an unpacked function, its layers included."""
ROOT = "/var/task"
"""Where Lambda unpacks a function."""
_TYPING_EXTENSIONS_UNTIL = 13
"""The minor version of Python from which obstore needs no typing-extensions."""
_NOT_NEEDED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


def distributions(python: str) -> tuple[str, ...]:
    """Return the names of the distributions that a worker needs besides ours."""
    minor = int(python.partition(".")[2])
    extra = ("typing-extensions",) if minor < _TYPING_EXTENSIONS_UNTIL else ()
    return ("cloudpickle", "obstore", *extra)


def build_package(path: Path, target: Target, serve: Sequence[str] = ()) -> Archive:
    """Write the worker's zip for `target`: ours, and what a worker needs, in the versions here.

    The user's own modules that `serve` names go along. The same versions give the same bytes. There
    is no AWS SDK in it. What is compiled for another platform is fetched from the package index.

    Raises:
        DeploymentError: a distribution is missing here or not to be had for the target; the
            package is larger than Lambda takes.
        ConfigurationError, SerializationError: see `served_files`.
    """
    with tempfile.TemporaryDirectory(prefix="asyncfabric-package-") as scratch:
        files = served_files(serve, target, Path(scratch, "served")) | _ours()
        fetched: list[str] = []
        for name in distributions(target.python):
            local = _installed(name, target)
            if local is None:
                fetched.append(f"{name}=={_version(name)}")
            else:
                files |= local
        if fetched:
            folder = Path(scratch, "fetched")
            install(fetched, folder, target, dependencies=False)
            files |= tree(folder)
        compiled = Path(scratch, "compiled")
        compiled.mkdir()
        archive = write_archive(path, {**files, **compile_all(files, compiled, ROOT)})
    check_size(archive)
    return archive


def check_size(archive: Archive) -> None:
    """Raise `DeploymentError` for a package that Lambda doesn't take."""
    if archive.unpacked > MOST_UNPACKED:
        msg = (
            f"the package has {archive.unpacked >> 20} MB unpacked and Lambda takes "
            f"{MOST_UNPACKED >> 20}; give what you need by --requirements, or build an image"
        )
        raise DeploymentError(msg)


def tree(folder: Path) -> dict[str, Path]:
    """Return the files of a directory of packages that an archive needs, by their names in it."""
    return {
        name: path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _belongs(name := path.relative_to(folder).as_posix())
    }


def _belongs(name: str) -> bool:
    path = PurePosixPath(name)
    if "__pycache__" in path.parts or path.suffix in {".pyc", ".pyi"}:
        return False
    if path.parts[0].endswith(".dist-info"):
        return path.name not in _NOT_NEEDED and "sboms" not in path.parts
    return ".." not in path.parts and path.parts[0] != "bin"


def _ours() -> dict[str, Path]:
    files: dict[str, Path] = {}
    for name in OURS:
        folder = Path(sys.modules[name].__path__[0]) if name in sys.modules else _folder(name)
        files |= {f"{name}/{inner}": path for inner, path in tree(folder).items()}
    return files


def _folder(name: str) -> Path:
    from importlib.util import find_spec

    spec = find_spec(name)
    if spec is None or spec.origin is None:
        msg = f"{name} is not installed here; install asyncfabric again"
        raise DeploymentError(msg)
    return Path(spec.origin).parent


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        msg = f"{name} is not installed here; run: pip install 'asyncfabric[aws]'"
        raise DeploymentError(msg) from None


def _installed(name: str, target: Target) -> dict[str, Path] | None:
    """Return the files of a distribution of this environment, or None if they don't fit."""
    _version(name)
    found = importlib.metadata.distribution(name)
    if not _fits(found.read_text("WHEEL") or "", target) or found.files is None:
        return None
    files = {each.as_posix(): Path(str(each.locate())) for each in found.files}
    return {inner: path for inner, path in files.items() if _belongs(inner) and path.is_file()}


def _fits(wheel: str, target: Target) -> bool:
    tags = _tags(wheel.splitlines())
    if all(tag.endswith("-any") for tag in tags):
        return bool(tags)
    here = Target(platform.python_version().rpartition(".")[0], target.arch)
    return here == target and any(target.fits(tag) for tag in tags)


def _tags(lines: Iterable[str]) -> list[str]:
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Tag:")]
