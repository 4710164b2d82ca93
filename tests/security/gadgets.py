"""Pickles that run code when they are loaded, and a way to see that none was."""

import pickle
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Gadget:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return touch, (str(self.path),)


def touch(path: str) -> str:
    """Leave a trace."""
    Path(path).write_text("code ran here")
    return path


def gadget(path: Path) -> bytes:
    """Return the pickle."""
    return pickle.dumps(Gadget(path), 5)


class _Watch:
    """Pickles that named something, as Python's own audit tells of them."""

    def __init__(self) -> None:
        self.on = False
        self.names: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "pickle.find_class":
            self.names.append(".".join(map(str, arguments)))


_watch = _Watch()
sys.addaudithook(_watch)  # for good: hooks can't be taken away


@contextmanager
def no_pickles() -> Generator[None]:
    """Fail if any pickle that names anything is loaded in this process meanwhile."""
    _watch.names.clear()
    _watch.on = True
    try:
        yield
    finally:
        _watch.on = False
    assert _watch.names == []
