"""The modules that functions refer to.

Two questions: which modules does unpickling a function import, and what does calling it import? The
first is answered by the names in its pickle. The second by its code and that of the functions of
the user's own that it names, as far as names can be followed without running anything.
"""

from __future__ import annotations

import pickletools
import sys
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from asyncfabric_runtime._pickling import Pickler

from ._bytecode import imports_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pickle import PickleBuffer
    from types import CodeType

    from ._imports import Import
    from ._places import Places

_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_FROM_MEMO = frozenset({"BINGET", "LONG_BINGET"})


class References(NamedTuple):
    """What functions refer to.

    Attributes:
        modules: full names of the modules that unpickling the functions imports.
        imports: what their code imports, and that of the user's own functions they name.
    """

    modules: tuple[str, ...]
    imports: tuple[Import, ...]


def references(functions: Iterable[Callable[..., Any]], places: Places) -> References:
    """Find what functions refer to. Raises whatever pickling them raises."""
    pickler = _Observer()
    modules: dict[str, None] = {}
    named: list[object] = []
    for function in functions:
        for module, name in _globals(pickler.pickled(function)):
            modules[module] = None
            if places.find(module).kind == "own":
                named.append(_attribute(sys.modules.get(module), name))
    modules.update(dict.fromkeys(pickler.modules))
    reached = _Reached(places)
    for function in pickler.functions:
        reached.add(function)
    for each in named:
        reached.add(each)
    return References(tuple(modules), tuple(dict.fromkeys(reached.imports())))


class _Observer:
    """Pickles, and notes what passes by."""

    def __init__(self) -> None:
        self.modules: list[str] = []
        self.functions: list[FunctionType] = []

    def pickled(self, function: Callable[..., Any]) -> bytes:
        """Return the pickle, without its large buffers."""
        file = _File()
        pickler: Any = _ObservingPickler(file, self)
        pickler.dump(function)
        return b"".join(file.parts)


class _File:
    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self.parts.append(bytes(data))
        return len(data)


class _ObservingPickler(Pickler):
    def __init__(self, file: _File, observer: _Observer) -> None:
        super().__init__(file, _leave_out)
        self._observer = observer

    def reducer_override(self, obj: Any) -> Any:  # noqa: ANN401 - the hook's signature
        reduced = super().reducer_override(obj)
        if isinstance(obj, ModuleType):
            self._observer.modules.append(obj.__name__)
        elif isinstance(obj, FunctionType) and reduced is not NotImplemented:
            self._observer.functions.append(obj)  # it travels by value
        return reduced


def _leave_out(_: PickleBuffer) -> bool:
    return False


def _globals(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield module and name of every global that a pickle of protocol 5 refers to."""
    memo: list[str] = []
    before, last = "", ""  # the strings pushed last; a STACK_GLOBAL follows its two directly
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name == "MEMOIZE":
            memo.append(last)
        elif name == "STACK_GLOBAL":
            yield before, last
        elif name in _STRINGS:
            before, last = last, str(argument)
        elif name in _FROM_MEMO:
            before, last = last, memo[int(str(argument))]


class _Reached:
    """Functions of the user's own, by name from function to function."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._codes: dict[CodeType, str] = {}
        self._classes: set[type] = set()

    def imports(self) -> Iterator[Import]:
        for code, package in self._codes.items():
            yield from imports_in(code, package)

    def add(self, value: Any) -> None:  # noqa: ANN401 - whatever a name stands for
        """Follow a value, if it is a function or a class of the user's own."""
        todo = [value]
        while todo:
            each: Any = _unwrapped(todo.pop())
            if isinstance(each, FunctionType):
                if each.__code__ not in self._codes and self._is_own(each):
                    package: Any = each.__globals__.get("__package__")
                    self._codes[each.__code__] = package or ""
                    todo += self._named_by(each)
            elif isinstance(each, type) and each not in self._classes and self._is_own(each):
                self._classes.add(each)
                todo += [*vars(each).values(), *each.__bases__]

    def _is_own(self, value: FunctionType | type) -> bool:
        module: Any = value.__module__
        if not isinstance(module, str):
            return True  # made by exec: it is somebody's here
        return module in {"__main__", "__mp_main__"} or self._places.find(module).kind in {
            "own",
            "absent",
        }

    def _named_by(self, function: FunctionType) -> Iterator[object]:
        names = set(_names(function.__code__))
        for name in names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                if self._places.find(value.__name__).kind == "own":
                    yield from (vars(value)[each] for each in names & vars(value).keys())
            else:
                yield value
        for cell in function.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # it is empty
                continue


def _unwrapped(value: Any) -> Any:  # noqa: ANN401 - whatever a name stands for
    """Return the function within a method, partial or property."""
    if isinstance(value, staticmethod | classmethod | MethodType):
        return cast("Any", value).__func__
    if isinstance(value, property):
        return value.fget
    if type(value).__module__ == "functools":
        return getattr(value, "func", getattr(value, "__wrapped__", None))
    return value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if hasattr(constant, "co_names"):
            yield from _names(constant)


def _attribute(module: object, name: str) -> object:
    found = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
