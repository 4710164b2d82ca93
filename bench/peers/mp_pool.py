"""multiprocessing.Pool: blocking; its results are awaitable only through callbacks."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from multiprocessing.pool import Pool

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Pool:
    def __init__(self, pool: Pool, way: str) -> None:
        self._pool = pool
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        match self._way:
            case "imap":
                return list(self._pool.imap(fn, items))
            case "map":
                return self._pool.map(fn, items)
            case _:
                return await asyncio.gather(*[self._future(fn, item) for item in items])

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        if self._way == "apply_async":
            return await self._future(fn, arg)
        return self._pool.apply(fn, (arg,))

    def _future(self, fn: Callable[[A], R], arg: A) -> asyncio.Future[R]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()

        def done(result: R) -> None:
            loop.call_soon_threadsafe(future.set_result, result)

        def failed(error: BaseException) -> None:
            loop.call_soon_threadsafe(future.set_exception, error)

        self._pool.apply_async(fn, (arg,), callback=done, error_callback=failed)
        return future


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start a pool with the platform's start method."""
    with multiprocessing.Pool(WORKERS) as pool:
        yield _Pool(pool, way)
