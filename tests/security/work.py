"""Functions for workers."""

from typing import Any

import asyncfabric as af


class OwnError(Exception):
    """Of the user's own."""


def echo(value: Any) -> Any:
    return value


async def later(value: Any) -> Any:
    return value


def total(a: int, b: int = 1) -> int:
    return a + b


def with_shared(value: Any, *, table: Any) -> Any:
    return [value, table]


def fail(value: Any) -> Any:
    raise OwnError(value)


def variable(name: str) -> str | None:
    """Return an environment variable of the worker."""
    import os

    return os.environ.get(name)


def make_set(_: Any) -> Any:
    return {1, 2}


def make_object(_: Any) -> Any:
    return OwnError("canary")


def map_inside(value: int) -> Any:
    """A worker's own fan-out: it runs there."""
    return af.current().index + value
