"""aiomultiprocess.Pool. It runs coroutine functions only, so it is given the works' async twins.

Its driver looks for results every 5 ms, whatever the settings; with more than about 32,000 calls
queued it also meets the semaphore limit of `multiprocessing.Queue` on macOS (not on Linux).
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from bench import work
from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Pool(Protocol):
    def map(self, func: Callable[[A], Awaitable[R]], iterable: Sequence[A]) -> Awaitable[list[R]]:
        """See aiomultiprocess.Pool.map."""
        ...

    async def apply(self, func: Callable[[A], Awaitable[R]], args: tuple[A]) -> R:
        """See aiomultiprocess.Pool.apply."""
        ...


class _Package(Protocol):
    def Pool(  # noqa: N802  (the peer's name)
        self, processes: int, *, queuecount: int | None = None, childconcurrency: int = 16
    ) -> AbstractAsyncContextManager[_Pool]:
        """See aiomultiprocess.Pool."""
        ...


aiomultiprocess = cast("_Package", import_module("aiomultiprocess"))


def _twin(fn: Callable[[A], R]) -> Callable[[A], Awaitable[R]]:
    return cast("Callable[[A], Awaitable[R]]", getattr(work, f"{fn.__name__}_async"))


class _Session:
    def __init__(self, pool: _Pool, way: str) -> None:
        self._pool = pool
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        twin = _twin(fn)
        if self._way == "apply":
            return await asyncio.gather(*[self._pool.apply(twin, (item,)) for item in items])
        return await self._pool.map(twin, items)

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return await self._pool.apply(_twin(fn), (arg,))


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start a pool, with a queue a worker and deeper workers in the tuned way."""
    if way == "map-tuned":
        pool = aiomultiprocess.Pool(WORKERS, queuecount=WORKERS, childconcurrency=128)
    else:
        pool = aiomultiprocess.Pool(WORKERS)
    async with pool as started:
        yield _Session(started, way)
