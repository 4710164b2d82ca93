"""Functions by name: for workers that run what was deployed, and nothing that is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import SerializationError
from asyncfabric_runtime._named import is_named, pack_name
from asyncfabric_storage import digest

from ._functions import Shipped, is_coroutine_function

if TYPE_CHECKING:
    from collections.abc import Callable


def named(function: Callable[..., Any]) -> Shipped:
    """Return what travels instead of a function: where it can be imported.

    Raises `SerializationError` for lambdas, closures, partials, methods of objects and what is
    defined in `__main__`: they have no name that leads to them.
    """
    if not is_named(function):
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        module = getattr(function, "__module__", None)
        msg = (
            f"with code='deployed' no code is sent, and {name} of {module} can't be found by its "
            "name: it is a lambda, a closure, a partial, a bound method, or lives in __main__; "
            "define a function at the top of a module that the workers have, and give it what it "
            "needs by its input"
        )
        raise SerializationError(msg)
    data = pack_name(function.__module__, function.__qualname__)
    return Shipped(digest(data), data, is_coroutine_function(function))
