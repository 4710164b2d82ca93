"""Functions, packed for their way to the workers.

What can be imported travels by name, what lives in `__main__`, lambdas and closures travels by
value, with the globals it names. Packing costs 15 microseconds and more, so a packed function is
used again as long as nothing that went into it was rebound. That can be told cheaply only if all
of it is immutable: a function that refers to a list, an object or a class of `__main__` is packed
anew for each map and each submit, so that its workers see the present state.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections import OrderedDict
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

from asyncfabric._exceptions import SerializationError
from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._values import TooLargeError
from asyncfabric_storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPTIONS_ATTRIBUTE = "__asyncfabric_options__"

_KEPT = 256
_ATOMS = int | float | complex | bool | str | bytes | None


class Shipped(NamedTuple):
    """A packed function: the SHA-256 of its bytes, the bytes, and whether it is a coroutine function."""

    digest: str
    data: bytes
    is_async: bool


class _Watch(NamedTuple):
    """What a function was made of when it was packed."""

    function: Any
    code: CodeType
    defaults: tuple[Any, ...] | None
    keyword_defaults: dict[str, Any] | None
    cells: tuple[tuple[Any, Any], ...]
    names: tuple[tuple[str, Any], ...]

    def holds(self) -> bool:
        function = self.function()
        if function is None or function.__code__ is not self.code:
            return False
        if function.__defaults__ is not self.defaults:
            return False
        if function.__kwdefaults__ is not self.keyword_defaults:
            return False
        try:
            if any(cell.cell_contents is not content for cell, content in self.cells):
                return False
        except ValueError:  # the cell was emptied
            return False
        names = function.__globals__
        return all(names.get(name) is value for name, value in self.names)


class _Entry(NamedTuple):
    function: weakref.ref[Any]
    watches: list[_Watch]
    shipped: Shipped


_packed: OrderedDict[int, _Entry] = OrderedDict()


def ship(function: Callable[..., Any], limit: int | None = None) -> Shipped:
    """Pack a function.

    Raises `SerializationError` that names what in it can't be sent, and `TooLargeError` where it
    carries more than `limit` bytes.
    """
    entry = _packed.get(id(function))
    if entry is not None and entry.function() is function:
        for watch in entry.watches:
            if not watch.holds():
                break
        else:
            return entry.shipped
    shipped = _pack(function, limit)
    watches = _watches(function, set())
    if watches is not None:
        try:
            reference = weakref.ref(function)
        except TypeError:
            return shipped
        _packed[id(function)] = _Entry(reference, watches, shipped)
        if len(_packed) > _KEPT:
            _packed.popitem(last=False)
    return shipped


def _pack(function: Callable[..., Any], limit: int | None) -> Shipped:
    try:
        data = b"".join(bytes(piece) for piece in pack_object(function, limit))
    except TooLargeError:
        raise
    except Exception as error:
        name = getattr(function, "__qualname__", None) or repr(function)
        raise SerializationError(blame(f"function {name}", function, error)) from error
    return Shipped(digest(data), data, is_coroutine_function(function))


def is_coroutine_function(function: Any) -> bool:  # noqa: ANN401 - anything callable
    """Tell whether calling it gives a coroutine: partials, methods and `__call__` are looked into."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or (
        not isinstance(function, type)
        and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
    )


def _watches(function: object, seen: set[int]) -> list[_Watch] | None:
    """Return what tells whether a function is still the same; None if nothing cheap does."""
    if id(function) in seen or _by_reference(function):
        return []
    seen.add(id(function))
    if not isinstance(function, FunctionType) or set(function.__dict__) - {OPTIONS_ATTRIBUTE}:
        return None
    try:
        cells = tuple((cell, cell.cell_contents) for cell in function.__closure__ or ())
    except ValueError:  # a cell that is still empty
        return None
    names = tuple(
        (name, function.__globals__[name])
        for name in sorted(set(_names(function.__code__)))
        if name in function.__globals__
    )
    watches = [
        _Watch(
            weakref.ref(function),
            function.__code__,
            function.__defaults__,
            function.__kwdefaults__,
            cells,
            names,
        )
    ]
    parts = [content for _, content in cells] + [value for _, value in names]
    parts += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for part in parts:
        if _is_immutable(part):
            continue
        inner = _watches(part, seen)
        if inner is None:
            return None
        watches += inner
    return watches


def _is_immutable(part: object) -> bool:
    if isinstance(part, tuple):
        return all(map(_is_immutable, part))
    return isinstance(part, _ATOMS | ModuleType)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _by_reference(part: object) -> bool:
    """Tell whether a function or class travels by its name."""
    if not isinstance(part, FunctionType | BuiltinFunctionType | type):
        return False
    module = getattr(part, "__module__", None)
    if (
        module is None
        or module == "__main__"
        or module in cloudpickle.list_registry_pickle_by_value()
    ):
        return False
    found: Any = sys.modules.get(module)
    for name in part.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is part
