"""anyio.to_process: one round trip a call, a coroutine waiting for each."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_process

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Processes:
    def __init__(self) -> None:
        self._limiter = CapacityLimiter(WORKERS)

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        return await asyncio.gather(*[self.call(fn, item) for item in items])

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return await to_process.run_sync(fn, arg, limiter=self._limiter)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Return a session; anyio starts its workers at the first calls, ends them with the loop."""
    del way  # there is only one
    yield _Processes()
