"""A watch on unpickling: what a parser was given must not be looked up by name in a pickle."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Unpickled(BaseException):
    """A pickle was about to import something; no `except Exception` hides it."""


_state: dict[str, bool] = {"armed": False, "installed": False}
_names: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _state["armed"] and event == "pickle.find_class":
        name = ".".join(map(str, arguments))
        _names.append(name)
        raise Unpickled(name)


@contextmanager
def names_refused() -> Generator[None]:
    """Refuse every name that a pickle asks for.

    The hook stays in the interpreter, which has no way to take one out; it does nothing else.
    """
    if not _state["installed"]:
        _state["installed"] = True
        sys.addaudithook(_hook)
    _names.clear()
    _state["armed"] = True
    try:
        yield
    finally:
        _state["armed"] = False


@contextmanager
def nothing_is_unpickled() -> Generator[None]:
    """Refuse every name that a pickle asks for, and fail if one did, though it was swallowed."""
    with names_refused():
        yield
    assert _names == [], f"unpickled: {_names}"
