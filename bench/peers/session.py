"""What a table asks of every peer, and what adapters share."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractAsyncContextManager
    from types import ModuleType

A = TypeVar("A")
R = TypeVar("R")

WORKERS = 2
"""Worker processes of every peer in every table."""

CHUNK = 1000
"""Calls a message for the peers that take a chunk size, in their tuned rows."""


class Session(Protocol):
    """A started peer, set up for one way of using it."""

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        """Call `fn` on every item; return the results, in any order."""
        ...

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        """Make one call and wait for its result."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """A session that can take an endless iterable and yield results as they come."""

    def stream(self, fn: Callable[[A], R], items: Iterable[A]) -> AsyncIterator[R]:
        """Call `fn` on every item, forever if need be."""
        ...


class Adapter(Protocol):
    """The one function an adapter module has."""

    def connect(self, way: str) -> AbstractAsyncContextManager[Session]:
        """Start the peer for this way of using it; leaving the context stops it."""
        ...


class MissingPackageError(Exception):
    """A package that the measurement needs is not installed."""


def load_adapter(module: str) -> Adapter:
    """Import the adapter `bench.peers.<module>` and with it the peer's own package."""
    return cast("Adapter", require(f"bench.peers.{module}"))


def require(module: str) -> ModuleType:
    """Import a module; `MissingPackageError` if it, or what it needs, is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        message = f"{error.msg}: not installed here"
        raise MissingPackageError(message) from error


async def gather_futures(
    executor: Executor, fn: Callable[[A], R], items: Sequence[A]
) -> Sequence[R]:
    """One asyncio.Future a call from a concurrent.futures executor, gathered."""
    loop = asyncio.get_running_loop()
    return await asyncio.gather(*[loop.run_in_executor(executor, fn, item) for item in items])
