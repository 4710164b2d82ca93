"""Whether arguments make sense; each refusal says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from asyncfabric_runtime._context import in_worker
from asyncfabric_storage._job_places import check_name

from ._exceptions import ConfigurationError
from .scheduling import Limit

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore


def check_callable(function: object) -> None:
    """Refuse what can't be run on a worker."""
    if inspect.iscoroutine(function) or asyncio.isfuture(function):
        _close(function)
        msg = (
            "this is a coroutine already running here, not a function; pass the function itself "
            "and its arguments: fabric.submit(fetch, url), not fabric.submit(fetch(url))"
        )
        raise TypeError(msg)
    if not callable(function):
        msg = f"a {type(function).__name__} can't be called; pass a function and its inputs"
        raise TypeError(msg)
    target: Any = function
    while isinstance(target, functools.partial):
        target = target.func
    if not inspect.isroutine(target) and not isinstance(target, type):
        target = type(target).__call__
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        name = getattr(target, "__qualname__", repr(target))
        msg = (
            f"{name} is a generator function: its values can't come back one by one; return a list"
        )
        raise TypeError(msg)


def _close(coroutine: object) -> None:
    if inspect.iscoroutine(coroutine):
        coroutine.close()  # it will never be awaited; the error says enough


def check_items(items: Any) -> None:  # noqa: ANN401 - whatever the caller gave
    """Refuse what can't be iterated over."""
    if not isinstance(items, Iterable | AsyncIterable):
        try:
            iter(items)  # the old protocol, by __getitem__
        except TypeError:
            msg = (
                f"inputs must be iterable or async iterable, not {type(items).__name__}; "
                "for a single call use fabric.submit(fn, value)"
            )
            raise TypeError(msg) from None


def check_count(name: str, value: object, *, least: int = 1) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        msg = (
            f"{name}={value!r} makes no sense; give a whole number, {least} or more, "
            "or leave it out"
        )
        raise ConfigurationError(msg)


def check_limit(limit: object) -> None:
    """Refuse what is no `Limit`."""
    if limit is not None and not isinstance(limit, Limit):
        msg = f"limit={limit!r} makes no sense; give an asyncfabric.Limit(...), or leave it out"
        raise ConfigurationError(msg)


def check_shared(shared: Any) -> None:  # noqa: ANN401 - whatever the caller gave
    """Refuse what can't be passed by keyword."""
    names: list[Any] = list(cast("Any", shared)) if isinstance(shared, Mapping) else [None]
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        msg = (
            "this shared= makes no sense; give a mapping from the function's keyword "
            "arguments to values, such as shared={'market': frame}"
        )
        raise ConfigurationError(msg)


def check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse what is not among the choices."""
    if not any(value is choice or value == choice for choice in choices):
        msg = f"{name}={value!r} makes no sense; give one of {', '.join(map(repr, choices))}"
        raise ConfigurationError(msg)


def check_job(name: str | None, version: object, store: ObjectStore) -> None:
    """Refuse a durable job that can't be, or whose store doesn't outlive this process."""
    if name is None:
        if version is not None:
            msg = (
                f"version={version!r:.80} says which code a durable job has; give job='a-name', too"
            )
            raise ConfigurationError(msg)
        return
    check_name(name)
    if version is not None and not (isinstance(version, str) and version):
        msg = f"version={version!r:.80} makes no sense; give a text, such as version='2'"
        raise ConfigurationError(msg)
    if in_worker():
        msg = (
            f"job={name!r}: a durable job is driven from outside the workers, which have no key to "
            "its records; leave job= out here"
        )
        raise ConfigurationError(msg)
    if store.ephemeral and store.shared:
        msg = (
            f"job={name!r} is to outlive this process, and the store of this Fabric does not: give "
            "the Fabric storage='file:///a/directory' or 's3://bucket/prefix'"
        )
        raise ConfigurationError(msg)
