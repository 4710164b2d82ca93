"""`function`: options that ride on a function."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from ._options import Settings
from .shipping import OPTIONS_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from ._options import Options

F = TypeVar("F", bound="Callable[..., Any]")


def function(**options: Unpack[Options]) -> Callable[[F], F]:
    """Give a function options of its own, which go before those of the Fabric that runs it.

    Calling the function stays what it was: a local call. The options also hold for a
    `functools.partial` of it.

        @asyncfabric.function(timeout=30, retry=asyncfabric.Retry(on=(ConnectionError,)))
        def fetch(url): ...

        pages = await fabric.map(fetch, urls)

    Raises `ConfigurationError` for an unknown option or one that makes no sense, and `TypeError`
    for what can't carry options, such as a builtin function: use `Fabric.with_options` there.
    """
    Settings().with_options(options)

    def decorate(target: F) -> F:
        try:
            setattr(target, OPTIONS_ATTRIBUTE, dict(options))
        except AttributeError:
            msg = (
                f"{target!r:.80} can't carry options; decorate a function that calls it, or use "
                "fabric.with_options(...)"
            )
            raise TypeError(msg) from None
        return target

    return decorate


def options_of(target: object) -> Mapping[str, Any]:
    """Return the options that ride on a function."""
    found: Mapping[str, Any] = getattr(target, OPTIONS_ATTRIBUTE, {})
    if isinstance(target, functools.partial):
        inner: object = target.func
        return {**options_of(inner), **found}
    return found
