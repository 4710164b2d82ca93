"""Which part of a value can't be pickled."""

from __future__ import annotations

import functools
from itertools import islice
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from ._failure import said
from ._values import TooLargeError, dump

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Parts = Iterator[tuple[str, Any]]

_DEPTH = 8
_WIDTH = 200
_LIMIT = 16 * 1024 * 1024

_HINTS = {
    "coroutine": "pass the coroutine function itself, or await the coroutine inside the function",
    "generator": "return a list instead of a generator",
    "lock": "create the object that holds the lock inside the function",
    "socket": "open the connection inside the function",
    "TextIOWrapper": "pass the path and open the file inside the function",
    "module": "import the module inside the function",
}


def blame(what: str, value: object, error: BaseException) -> str:
    """Say that `value` can't be sent, where in it the offending object is, and what to do.

    >>> blame("the input", {"to": 1}, TypeError("no"))
    "the input, a dict, can't be sent: no; send plain data and build the rest inside the function"
    """
    try:
        path, culprit = _find(value, _DEPTH)
    except Exception:  # noqa: BLE001 - looking into a user's object runs the user's code
        path, culprit = "", value
    name = _type_name(culprit)
    where = f" ({path.lstrip('.')} is a {name})" if path else ""
    hint = next((hint for part, hint in _HINTS.items() if part in name), None)
    hint = hint or "send plain data and build the rest inside the function"
    reason = said(error) or type(error).__qualname__
    return f"{what}, a {_type_name(value)}, can't be sent: {reason}{where}; {hint}"


def _type_name(value: object) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _find(value: object, depth: int) -> tuple[str, object]:
    if depth:
        for step, part in _parts(value):
            if _fails(part):
                path, culprit = _find(part, depth - 1)
                return step + path, culprit
    return "", value


def _fails(value: object) -> bool:
    try:
        dump(value, _LIMIT)
    except TooLargeError:
        return False
    except Exception:  # noqa: BLE001 - this is the question asked
        return True
    return False


def _parts(value: object) -> Parts:
    if isinstance(value, dict):
        members: dict[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, part in islice(members.items(), _WIDTH):
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for place, part in enumerate(islice(cast("Iterable[Any]", value), _WIDTH)):
            yield f"[{place}]", part
    elif isinstance(value, FunctionType):
        yield from _parts_of_function(value)
    elif not isinstance(value, type):
        yield from _parts_of_object(value)


def _parts_of_function(function: FunctionType) -> Parts:
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield f".<closure variable {name}>", cell.cell_contents
        except ValueError:  # the cell is still empty
            continue
    for name in code.co_names:
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]
    for place, part in enumerate(function.__defaults__ or ()):
        yield f".<default {place}>", part
    for name, part in (function.__kwdefaults__ or {}).items():
        yield f".<default {name}>", part


def _parts_of_object(value: object) -> Parts:
    if isinstance(value, functools.partial):
        partial: functools.partial[Any] = value  # pyright: ignore[reportUnknownVariableType]
        yield ".func", partial.func
        yield ".args", partial.args
        yield ".keywords", partial.keywords
    if isinstance(value, MethodType):
        yield ".__self__", value.__self__
    for name, part in islice(_members(value), _WIDTH):
        yield f".{name}", part


def _members(value: Any) -> Parts:  # noqa: ANN401 - a user's object
    members: dict[str, Any] = getattr(value, "__dict__", {})
    yield from members.items()
    for kind in type(value).__mro__:
        slots: str | Iterable[str] = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in members and hasattr(value, name):
                yield name, getattr(value, name)
