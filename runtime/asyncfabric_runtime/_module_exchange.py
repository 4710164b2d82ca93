"""Exchanging the modules of one directory of code for those of another, in a living process."""

# ruff: noqa: PTH110, PTH112, PTH118
# pathlib costs 5 ms to import; paths here are strings.

from __future__ import annotations

import os
import sys
from typing import Any

# What a worker is made of is never replaced by modules of the same name.
_FIXED = frozenset({"asyncfabric", "asyncfabric_runtime", "asyncfabric_storage", "cloudpickle"})


def leave_path(directory: str) -> None:
    """Take a directory off `sys.path`."""
    sys.path[:] = [path for path in sys.path if path != directory]
    for path in list(sys.path_importer_cache):
        if _is_within(path, directory):
            sys.path_importer_cache.pop(path, None)


def _is_within(path: object, directory: str) -> bool:
    return isinstance(path, str) and (path == directory or path.startswith(directory + os.sep))


def from_directory(directory: str) -> list[str]:
    """Return the names of the loaded modules that came from an archive's directory."""
    tops = _tops(directory)
    names: list[str] = []
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in tops and _comes_from(module, directory):
            names.append(name)
    return names


def _comes_from(module: object, directory: str) -> bool:
    values: dict[str, object] | None = getattr(module, "__dict__", None)
    if values is None:
        return True  # what a module put in its own place
    file = values.get("__file__")
    if file is not None:
        return _is_within(file, directory)
    path: Any = values.get("__path__")
    # A namespace package that has other parts, too, stays: it finds its parts anew by itself.
    return path is None or all(_is_within(each, directory) for each in path)


def shadowed(directory: str) -> list[str]:
    """Return the names of loaded modules that an archive has, too.

    Parts of a namespace package may come from elsewhere; those stay.
    """
    names: list[str] = []
    for top in _tops(directory):
        if top in _FIXED or top in sys.stdlib_module_names:
            continue
        folder = os.path.join(directory, top)
        if os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "__init__.py")):
            continue
        names += [name for name in list(sys.modules) if name == top or name.startswith(f"{top}.")]
    return names


def _tops(directory: str) -> list[str]:
    """Return the top-level import names that a directory has."""
    names = [
        entry.name.partition(".")[0]
        for entry in os.scandir(directory)
        if entry.is_dir() or entry.name.endswith((".py", ".so"))
    ]
    return sorted({name for name in names if name.isidentifier()})


def take_out(names: list[str]) -> dict[str, Any]:
    """Take modules out of `sys.modules` and out of the packages that stay; return them."""
    taken = {name: sys.modules.pop(name) for name in names}
    for name, module in taken.items():
        parent, _, child = name.rpartition(".")
        if parent in sys.modules and vars(sys.modules[parent]).get(child) is module:
            delattr(sys.modules[parent], child)
    return taken


def put_back(modules: dict[str, Any]) -> None:
    """Put modules back that were taken out."""
    for name, module in modules.items():
        sys.modules[name] = module
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent in sys.modules and parent not in modules:
            setattr(sys.modules[parent], child, module)


def forget_classes() -> None:
    """Let cloudpickle make classes anew that came by value: their bases may be other ones now."""
    pickling: Any = sys.modules.get("cloudpickle.cloudpickle")
    for name in ("_DYNAMIC_CLASS_TRACKER_BY_ID", "_DYNAMIC_CLASS_TRACKER_BY_CLASS"):
        tracker = getattr(pickling, name, None)
        if tracker is not None:
            tracker.clear()
