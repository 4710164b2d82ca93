"""Functions by name: what travels where no code does.

Such a function is packed as `AFN1module:qualname` and imported from the worker's own modules. A
worker that is told what it serves takes nothing else: see `Served`.
"""

from __future__ import annotations

import os
import re
from types import FunctionType
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import ConfigurationError, FabricError

from ._secrets import steers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._envelope import Plan

VARIABLE = "ASYNCFABRIC_SERVES"
"""Modules, packages and `module:function`s, apart by spaces: a worker's environment says so."""
_MAGIC = b"AFN1"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


class NotServedError(FabricError):
    """This worker runs named functions of its own package only, and was asked for others."""


def pack_name(module: str, qualname: str) -> bytes:
    """Return what travels instead of a function."""
    return _MAGIC + f"{module}:{qualname}".encode()


def unpack_name(data: bytes) -> tuple[str, str] | None:
    """Return module and qualified name; None for a function that travels by value."""
    if data[:4] != _MAGIC:
        return None
    module, _, qualname = data[4:].decode("utf-8", "replace").partition(":")
    if not (_NAME.fullmatch(module) and _NAME.fullmatch(qualname)):
        msg = "a function's name makes no sense"
        raise NotServedError(msg)
    return module, qualname


def is_named(function: object) -> bool:
    """Tell whether a function can be found again by its name: neither a lambda nor a closure."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not isinstance(module, str) or module == "__main__" or not _is_function(function):
        return False
    return bool(_NAME.fullmatch(name)) and _find(module, name) is function


def import_named(module: str, qualname: str) -> Callable[..., Any]:
    """Import a function by its name.

    Raises what importing its module raises, and `NotServedError` for a name that leads to something
    else than a function of that very module.
    """
    import importlib

    importlib.import_module(module)
    found = _find(module, qualname)
    if not _is_function(found) or (found.__module__, found.__qualname__) != (module, qualname):
        msg = (
            f"{module} defines no function {qualname}; a function is named by the module that "
            "defines it, and what that only imports is not run"
        )
        raise NotServedError(msg)
    function: Callable[..., Any] = found
    return function


def _find(module: str, qualname: str) -> Any:  # noqa: ANN401 - whatever is there
    import sys

    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _is_function(found: object) -> bool:
    """Tell whether this is a function or wraps one, as `functools.lru_cache` does."""
    if isinstance(found, FunctionType):
        return True
    return not isinstance(found, type) and isinstance(
        getattr(found, "__wrapped__", None), FunctionType
    )


class Served:
    """What a worker serves, and nothing else.

    Args:
        names: modules, packages (with all modules in them), and `module:function`s.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names: tuple[str, ...] = tuple(names)
        for name in self.names:
            if not all(_NAME.fullmatch(part) for part in name.split(":", 1)):
                msg = f"{VARIABLE} names {name!r}; write modules, and functions as module:function"
                raise ConfigurationError(msg)

    def allows(self, module: str, qualname: str) -> bool:
        """Tell whether this worker runs a function.

        None of a package's `__main__`: to import that is to run the package as a program.
        """
        if "__main__" in module.split("."):
            return False
        for name in self.names:
            served, _, function = name.partition(":")
            if function:
                if (module, qualname) == (served, function):
                    return True
            elif module == served or module.startswith(f"{served}."):
                return True
        return False

    def check(self, plan: Plan) -> None:
        """Refuse an invocation that brings code or pickles. Raises `NotServedError`.

        So far nothing of it has been read but plain data. The function is checked when it is
        loaded.
        """
        if plan.archive is not None or not plan.data_inputs:
            raise NotServedError(
                f"this worker runs functions of {' '.join(self.names)} only and takes no code: "
                "give the Fabric code='deployed', or deploy another family, without --serve"
            )
        if plan.env:
            raise NotServedError(
                "this worker takes no env= from its callers, which could change what its code "
                "does; leave it out"
            )
        for name in plan.secrets:
            if steers(name):
                raise NotServedError(
                    f"this worker takes no secret as {name} from its callers, which could change "
                    "where its code's connections lead; set it in the function's configuration"
                )

    def find(self, data: bytes) -> Callable[..., Any]:
        """Return the function that is asked for.

        Raises `NotServedError`, and what importing its module raises.
        """
        name = unpack_name(data)
        if name is None or not self.allows(*name):
            shown = ":".join(name) if name is not None else "a function that came by value"
            raise NotServedError(
                f"this worker runs functions of {' '.join(self.names)} only, not {shown}; deploy "
                "again with --serve for what it shall run"
            )
        return import_named(*name)


def served() -> Served | None:
    """Return what this process's environment says that it serves; None for whatever it is sent.

    Raises `ConfigurationError` for a variable that makes no sense: an empty one, too, since it was
    set to close something.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    if not text.split():
        msg = f"{VARIABLE} is empty; name what this worker serves, or unset it to serve everything"
        raise ConfigurationError(msg)
    return Served(text.split())
