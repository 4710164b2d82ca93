"""Functions, packed for their way to the workers.

What can be imported travels by name, what lives in `__main__`, lambdas and closures travels by
value, with the globals it names. Packing costs 15 microseconds and more, so a packed function is
used again as long as nothing that went into it was rebound. That can be told cheaply only if all
of it is immutable: a function that refers to a list, an object or a class of `__main__` is packed
anew for each map and each submit, so that its workers see the present state.

The same function has the same bytes, and so the same digest, as long as the process lives, and
mostly in the next one too. cloudpickle doesn't promise the latter: a set among the constants comes
in the order of its hashes, which are random for strings; a class that travels by value is given a
random identity; and bytecode and line numbers are part of the bytes. So a digest tells what workers
have; it doesn't tell whether two programs are the same.
"""

from __future__ import annotations

import functools
import inspect
import sys
import weakref
from collections import OrderedDict
from itertools import repeat
from operator import attrgetter, is_
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

from asyncfabric._exceptions import SerializationError
from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._packing import pack_object
from asyncfabric_runtime._values import TooLargeError
from asyncfabric_storage import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OPTIONS_ATTRIBUTE = "__asyncfabric_options__"

_KEPT = 256
_ATOMS = frozenset((int, float, complex, bool, str, bytes, type(None), range))
_COLLECTIONS = (tuple, frozenset)
_ABSENT: Any = object()
_NOTHING: dict[str, Any] = {}
_content = attrgetter("cell_contents")


class Shipped(NamedTuple):
    """A packed function.

    Attributes:
        digest: SHA-256 of the bytes.
        data: the bytes, as `asyncfabric_runtime` unpacks them.
        is_async: calling the function gives a coroutine.
    """

    digest: str
    data: bytes
    is_async: bool


class _Parts(NamedTuple):
    """Named parts of a function: plain ones as they are, functions by weak references."""

    keys: tuple[Any, ...]
    values: tuple[Any, ...]
    function_keys: tuple[Any, ...]
    functions: tuple[weakref.ref[FunctionType], ...]

    @classmethod
    def of(cls, pairs: list[tuple[Any, Any]]) -> _Parts:
        plain = [pair for pair in pairs if not isinstance(pair[1], FunctionType)]
        functions = [pair for pair in pairs if isinstance(pair[1], FunctionType)]
        return cls(
            tuple(key for key, _ in plain),
            tuple(value for _, value in plain),
            tuple(key for key, _ in functions),
            tuple(weakref.ref(value) for _, value in functions),
        )

    def hold(self, get: Callable[..., object], *default: Iterable[object]) -> bool:
        """Tell whether all parts are what they were. Compares without a step of Python for each."""
        if self.keys and not all(map(is_, map(get, self.keys, *default), self.values)):
            return False
        if not self.functions:
            return True
        functions = [function() for function in self.functions]
        return None not in functions and all(
            map(is_, map(get, self.function_keys, *default), functions)
        )


class _Watch(NamedTuple):
    """What a function was made of when it was packed."""

    function: weakref.ref[FunctionType]
    code: CodeType
    defaults: tuple[Any, ...] | None
    keyword_defaults: _Parts
    attributes: _Parts
    cells: _Parts
    names: _Parts
    sizes: tuple[int, int]

    def holds(self) -> bool:
        function = self.function()
        if function is None or function.__code__ is not self.code:
            return False
        if function.__defaults__ is not self.defaults:
            return False
        keyword_defaults, attributes = function.__kwdefaults__ or _NOTHING, function.__dict__
        closure = function.__closure__
        if (len(keyword_defaults), len(attributes)) != self.sizes:
            return False
        try:
            return (
                self.names.hold(function.__globals__.get, repeat(_ABSENT))
                and (not closure or self.cells.hold([*map(_content, closure)].__getitem__))
                and (not keyword_defaults or self.keyword_defaults.hold(keyword_defaults.get))
                and (not attributes or self.attributes.hold(attributes.get))
            )
        except ValueError:  # a cell was emptied
            return False


class _Entry(NamedTuple):
    function: weakref.ref[Any]
    watches: list[_Watch]
    shipped: Shipped


_packed: OrderedDict[int, _Entry] = OrderedDict()


def ship(function: Callable[..., Any], limit: int | None = None) -> Shipped:
    """Pack a function, or return it as it was packed before if it is still the same.

    Raises `SerializationError` that names what in it can't be sent, and `TooLargeError` where it
    has to be packed and comes to more than `limit` bytes.
    """
    entry = _packed.get(id(function))
    if (
        entry is not None
        and entry.function() is function
        and all(watch.holds() for watch in entry.watches)
    ):
        return entry.shipped
    shipped = _pack(function, limit)
    watches = _watches(function, set())
    if watches is not None:
        try:
            reference = weakref.ref(function, functools.partial(_forget, id(function)))
        except TypeError:
            return shipped
        _packed[id(function)] = _Entry(reference, watches, shipped)
        if len(_packed) > _KEPT:
            _packed.popitem(last=False)
    return shipped


def _forget(key: int, reference: weakref.ref[Any]) -> None:
    entry = _packed.get(key)
    if entry is not None and entry.function is reference:
        del _packed[key]


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
    """Tell whether calling it gives a coroutine.

    Partials, methods, static methods and `__call__` are looked into. A wrapper is what it is
    itself, whatever it wraps: many decorators make a plain function of a coroutine function.
    """
    while isinstance(function, functools.partial | staticmethod):
        inner: Any = function.func if isinstance(function, functools.partial) else function.__func__
        function = inner
    return inspect.iscoroutinefunction(function) or (
        not isinstance(function, type)
        and inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004
    )


def _watches(function: object, seen: set[int]) -> list[_Watch] | None:
    """Return what tells whether a function is still the same; None if nothing cheap does."""
    if id(function) in seen or travels_by_name(function):
        return []
    seen.add(id(function))
    if not isinstance(function, FunctionType):
        return None
    try:
        # Not the cells themselves: what they hold would be held by them.
        cells = list(enumerate(map(_content, function.__closure__ or ())))
    except ValueError:  # a cell that is still empty
        return None
    names = [
        (name, function.__globals__.get(name, _ABSENT))
        for name in sorted(set(_names(function.__code__)))
    ]
    keyword_defaults = list((function.__kwdefaults__ or {}).items())
    attributes = list(function.__dict__.items())
    watches = [
        _Watch(
            weakref.ref(function),
            function.__code__,
            function.__defaults__,
            _Parts.of(keyword_defaults),
            _Parts.of(attributes),
            _Parts.of(cells),
            _Parts.of(names),
            (len(keyword_defaults), len(attributes)),
        )
    ]
    parts = [part for _, part in [*cells, *names, *keyword_defaults]]
    parts += function.__defaults__ or ()
    # The options stay what they were when the function was decorated.
    parts += [part for name, part in attributes if name != OPTIONS_ATTRIBUTE]
    for part in parts:
        if part is _ABSENT or _is_immutable(part):
            continue
        inner = _watches(part, seen)
        if inner is None:
            return None
        watches += inner
    return watches


def _is_immutable(part: Any) -> bool:  # noqa: ANN401 - anything at all
    if type(part) in _COLLECTIONS:
        return all(map(_is_immutable, part))
    if isinstance(part, ModuleType):
        return sys.modules.get(part.__name__) is part  # else it travels by value
    return type(part) in _ATOMS


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def travels_by_name(part: object) -> bool:
    """Tell whether a function or class travels by its name, as cloudpickle decides it."""
    if not isinstance(part, FunctionType | BuiltinFunctionType | type):
        return False
    module: str | None = getattr(part, "__module__", None)
    if module is None or module == "__main__":
        return False
    registry: Any = cloudpickle
    for registered in registry.list_registry_pickle_by_value():
        if f"{module}.".startswith(f"{registered}."):
            return False
    found: Any = sys.modules.get(module)
    for name in part.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is part
