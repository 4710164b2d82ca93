"""Where an import name leads: the standard library, an installed distribution, or the user's own.

Nothing is imported to find out. A name is the user's own if Python finds it here in a directory
that belongs neither to the standard library nor to an installer: beside the script, in a source
checkout, in an editable install. What workers have anyway (asyncfabric, cloudpickle) is neither.
"""

# ruff: noqa: PTH100, PTH110, PTH112, PTH118, PTH120, PTH206, PTH208
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache
from importlib.machinery import BYTECODE_SUFFIXES, ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_file_location
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from asyncfabric._exceptions import SerializationError

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["standard", "fabric", "own", "installed", "absent"]

FABRIC = frozenset({"asyncfabric", "asyncfabric_runtime", "asyncfabric_storage", "cloudpickle"})
"""In every worker by itself."""
_MAIN = frozenset({"__main__", "__mp_main__"})
"""Travels by value."""
_INSTALLERS = frozenset({"site-packages", "dist-packages"})


class Place(NamedTuple):
    """Where one import name leads.

    Attributes:
        name: the name to ask a worker for: top-level, or the first name that is not itself a
            namespace package (`google.cloud.storage`).
        kind: whose it is.
        paths: of the user's own: the top-level package's directories or the module's file.
        is_namespace: the name is a namespace package as far as it goes.
    """

    name: str
    kind: Kind
    paths: tuple[str, ...] = ()
    is_namespace: bool = False

    @property
    def top(self) -> str:
        """The top-level name."""
        return self.name.partition(".")[0]

    @property
    def roots(self) -> tuple[str, ...]:
        """The directories that hold it: what stands on `sys.path`, as a rule."""
        return tuple(os.path.dirname(path) for path in self.paths)


class Places:
    """Finds places, each name once."""

    def __init__(self) -> None:
        self._found: dict[str, Place] = {}

    def find(self, name: str) -> Place:
        """Tell where a dotted import name leads.

        Raises `SerializationError` for the user's own code in a zip file.
        """
        place = self._found.get(name)
        if place is None:
            place = self._found[name] = self._look(name)
        return place

    def _look(self, name: str) -> Place:
        top = name.partition(".")[0]
        if top in FABRIC or top in _MAIN:
            return Place(top, "fabric")
        spec = _spec(top, None)
        if spec is None:
            return Place(top, "standard" if top in sys.stdlib_module_names else "absent")
        if spec.origin in {"built-in", "frozen"}:
            return Place(top, "standard")
        return _regular(top, spec) if spec.origin is not None else _namespace(name, spec)


def _namespace(name: str, spec: ModuleSpec | None) -> Place:
    """Follow a name through namespace packages, which may have parts of several owners."""
    inner, *parts = name.split(".")
    directories = _directories(spec)
    own = tuple(path for path in directories if is_own(path))
    top = Place(inner, "own" if own else "installed", own, is_namespace=True)
    while parts and spec is not None and spec.origin is None:
        part = parts.pop(0)
        inner = f"{inner}.{part}"
        spec = _spec(inner, directories)
        directories = [os.path.join(path, part) for path in directories]
    if spec is None:  # an attribute, or not here; the package above it tells whose it was
        return top if own else top._replace(kind="absent")
    if spec.origin is None:
        return top
    origin = os.path.abspath(spec.origin)
    if any(origin.startswith(path + os.sep) for path in own):
        return Place(inner, "own", own)
    return Place(inner, "installed")


def _regular(top: str, spec: ModuleSpec) -> Place:
    origin = os.path.abspath(spec.origin or "")
    path = os.path.dirname(origin) if spec.submodule_search_locations is not None else origin
    kind = _kind(path)
    if kind != "own":
        return Place(top, kind)
    if not os.path.exists(path):
        archive: Any = getattr(spec.loader, "archive", None)
        raise SerializationError(
            f"module {top!r} is imported from {archive or path}, which is no directory of files: "
            "its code can't be sent to workers; unpack it and put the directory on sys.path, or "
            "deploy it as a third-party package (asyncfabric deploy --requirements ...)"
        )
    if top in sys.stdlib_module_names:
        raise SerializationError(
            f"your module {path} has the name of the standard library's {top!r}, which workers "
            "have loaded before your code arrives; give it another name"
        )
    if path.endswith(tuple(BYTECODE_SUFFIXES)):
        raise SerializationError(
            f"module {top!r} is there only as bytecode, {path}; put its source file beside it"
        )
    return Place(top, "own", (path,))


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    module = sys.modules.get(name)
    try:
        spec = None if module is None else module.__spec__
        if spec is not None:
            return spec
        file: str | None = getattr(module, "__file__", None)
        if file is not None:
            return spec_from_file_location(name, file)
        if module is not None:
            return None
        if path is None:
            return find_spec(name)
        # By its last part: a full name would be looked up in sys.modules, package by package.
        return PathFinder.find_spec(name.rpartition(".")[2], path)
    except Exception:  # noqa: BLE001 - finders and odd objects in sys.modules raise anything
        return None


def _directories(spec: ModuleSpec | None) -> list[str]:
    locations = (spec.submodule_search_locations if spec else None) or ()
    # Editable installs put names on the path that are no directories.
    return [os.path.abspath(path) for path in locations if os.path.isdir(path)]


def is_own(path: str) -> bool:
    """Tell whether a file or directory is the user's own, by where it lies."""
    return _kind(path) == "own"


@cache
def _standard() -> tuple[str, ...]:
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    return tuple({spelt + os.sep for path in paths for spelt in (path, os.path.realpath(path))})


def _kind(path: str) -> Kind:
    if not _INSTALLERS.isdisjoint(path.split(os.sep)):
        return "installed"
    if path.startswith(_standard()):
        return "standard"
    try:
        # `pip install --target` leaves its records beside what it installs.
        beside = os.listdir(os.path.dirname(path))
    except OSError:
        return "own"
    return "installed" if any(each.endswith(".dist-info") for each in beside) else "own"
