"""Which part of a value can't be pickled."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._values import TooLargeError, dump

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def blame(what: str, value: object, error: Exception) -> str:
    """Say that `value` can't be sent, where in it the offending object is, and what to do."""
    path, culprit = _find(value, _DEPTH)
    name = _type_name(culprit)
    where = f" ({path.lstrip('.')} is a {name})" if path else ""
    hint = next((hint for part, hint in _HINTS.items() if part in name), None)
    hint = hint or "send plain data and build the rest inside the function"
    return f"{what}, a {_type_name(value)}, can't be sent: {error}{where}; {hint}"


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


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in list(value.items())[:_WIDTH]:
            yield f"[{key!r}]", part
    elif isinstance(value, list | tuple | set | frozenset):
        for place, part in enumerate(list(value)[:_WIDTH]):
            yield f"[{place}]", part
    elif isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield f".<closure variable {name}>", cell.cell_contents
            except ValueError:  # the cell is still empty
                continue
        for name in value.__code__.co_names:
            if name in value.__globals__:
                yield f".<global {name}>", value.__globals__[name]
        for place, part in enumerate(value.__defaults__ or ()):
            yield f".<default {place}>", part
    elif not isinstance(value, type):
        if hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
            yield ".func", value.func
            yield ".args", value.args
        owner = getattr(value, "__self__", None)  # a bound method
        if owner is not None and not isinstance(owner, type):
            yield ".__self__", owner
        for name, part in list(getattr(value, "__dict__", {}).items())[:_WIDTH]:
            yield f".{name}", part
