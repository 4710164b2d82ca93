"""Functions that can't be sent, or are large; and what counts as a coroutine function."""

import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import SerializationError
from asyncfabric.shipping import ship
from asyncfabric.shipping._functions import is_coroutine_function
from asyncfabric_runtime._values import TooLargeError


def _closure(offending: object) -> Callable[[], object]:
    def use() -> object:
        return offending

    return use


def _default(offending: object) -> Callable[[], object]:
    def use(first: int = 1, second: object = offending) -> object:
        return first, second

    return use


def _nested(offending: object) -> Callable[[], object]:
    inner = _closure({"outer": [1, offending]})

    def use() -> object:
        return inner()

    return use


@pytest.mark.parametrize(
    ("make", "where"),
    [(_closure, "offending"), (_default, "default"), (_nested, "inner")],
)
def test_the_error_says_where_the_trouble_is(
    make: Callable[[object], Callable[[], object]], where: str
) -> None:
    with pytest.raises(SerializationError, match=where) as caught:
        ship(make(threading.Lock()))
    text = str(caught.value)
    assert "function" in text
    assert "use" in text
    assert "_thread.lock" in text
    assert "create the object that holds the lock inside the function" in text
    assert isinstance(caught.value.__cause__, TypeError)


def test_more_than_the_limit() -> None:
    function = _closure("x" * 5000)
    with pytest.raises(TooLargeError):
        ship(function, 1000)
    shipped = ship(function)
    assert len(shipped.data) > 5000
    assert ship(function, 1000) is shipped  # it needn't be packed


async def test_a_large_function_is_packed_aside() -> None:
    payload = "x" * 3_000_000

    def use(x: int) -> int:
        return len(payload) + x

    async with af.Fabric("inline://") as fabric:
        assert await fabric.map(use, [1, 2]) == [3_000_001, 3_000_002]
        assert await fabric.submit(use, 3) == 3_000_003


async def _coroutine(x: int) -> int:
    return x


def _plain(x: int) -> int:
    return x


def _returns_a_coroutine(x: int) -> object:
    return _coroutine(x)


class Methods:
    async def method(self, x: int) -> int:
        return x

    @classmethod
    async def of_class(cls, x: int) -> int:
        return x

    @staticmethod
    async def static(x: int) -> int:
        return x

    @staticmethod
    def plain(x: int) -> int:
        return x


class Callable_:  # noqa: N801 - a callable object
    async def __call__(self, x: int) -> int:
        return x


@functools.wraps(_coroutine)
def _blocking_wrapper(x: int) -> int:
    return x


@functools.wraps(_plain)
async def _async_wrapper(x: int) -> int:
    return x


@functools.wraps(_coroutine)
async def _async_wrapper_of_async(x: int) -> int:
    return x


CASES: list[tuple[str, Any, bool]] = [
    ("coroutine function", _coroutine, True),
    ("function", _plain, False),
    ("function that returns a coroutine", _returns_a_coroutine, False),
    ("builtin", len, False),
    ("class", Methods, False),
    ("class with an async __call__", Callable_, False),
    ("partial", functools.partial(_coroutine, 1), True),
    ("partial of a partial", functools.partial(functools.partial(_coroutine), 1), True),
    ("partial of a function", functools.partial(_plain, 1), False),
    ("partial of a callable object", functools.partial(Callable_(), 1), True),
    ("method", Methods().method, True),
    ("class method", Methods.of_class, True),
    ("static method", Methods.static, True),
    ("static method object", vars(Methods)["static"], True),
    ("plain static method object", vars(Methods)["plain"], False),
    ("callable object", Callable_(), True),
    ("plain wrapper of a coroutine function", _blocking_wrapper, False),
    ("async wrapper of a function", _async_wrapper, True),
    ("async wrapper", _async_wrapper_of_async, True),
]


@pytest.mark.parametrize(
    ("function", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_gives_a_coroutine(function: object, expected: bool) -> None:
    assert is_coroutine_function(function) is expected
