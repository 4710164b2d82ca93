"""What can't be sent is named, with the way to it."""

import functools
import threading
from typing import Any

import pytest

from asyncfabric_runtime._blame import blame

lock = threading.Lock()


class Holder:
    def __init__(self) -> None:
        self.fine = 1
        self.inner: Any = {"deep": [1, lock]}

    def method(self) -> None: ...


class Slotted:
    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = lock


def _closure() -> Any:
    captured = threading.Lock()

    def inner() -> Any:
        return captured

    return inner


def _with_default(x: int, held: Any = lock) -> Any:
    return x, held


def _by_value(function: Any) -> Any:
    """Make a function that travels by value, as one of a notebook does."""
    function.__module__ = "__main__"
    return function


CULPRITS: list[tuple[Any, str]] = [
    ([1, [2, lock]], "[1][1]"),
    ({"a": {"b": lock}}, "['a']['b']"),
    (({1: lock},), "[0][1]"),
    (Holder(), "inner['deep'][1]"),
    (Slotted(), "held"),
    (_closure(), "<closure variable captured>"),
    (lambda: lock, "<global lock>"),
    (_by_value(_with_default), "<default 0>"),
    (functools.partial(print, lock), "args[0]"),
    (functools.partial(dict, end=lock), "keywords['end']"),
    (functools.partial(_closure()), "func.<closure variable captured>"),
    (Holder().method, "__self__.inner['deep'][1]"),
]


@pytest.mark.parametrize(("value", "path"), CULPRITS)
def test_the_way_to_the_culprit(value: Any, path: str) -> None:
    said = blame("the input", value, TypeError("cannot pickle"))
    assert f"({path} is a _thread.lock)" in said
    assert "cannot pickle" in said
    assert said.endswith("create the object that holds the lock inside the function")


def test_hints() -> None:
    generator = (x for x in [1])
    said = blame("the result", [generator], TypeError("no"))
    assert "([0] is a generator); return a list instead of a generator" in said
    said = blame("the input", object(), TypeError("no"))
    assert said == (
        "the input, a object, can't be sent: no; send plain data and build the rest inside the "
        "function"
    )


class Hostile:
    """Every look at it fails."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_hostile_objects_and_errors() -> None:
    assert "a tests.runtime.test_blame.Hostile, can't be sent" in blame("x", Hostile(), Wordless())


def test_circles() -> None:
    circle: list[Any] = [lock]
    circle.insert(0, circle)
    assert "is a " in blame("x", circle, TypeError("no"))
