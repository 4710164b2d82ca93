"""concurrent.futures.ProcessPoolExecutor."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from bench.peers.session import CHUNK, WORKERS, gather_futures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Executor:
    def __init__(self, executor: ProcessPoolExecutor, way: str) -> None:
        self._executor = executor
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        match self._way:
            case "blocking":
                futures = [self._executor.submit(fn, item) for item in items]
                return [future.result() for future in futures]
            case "map":
                return list(self._executor.map(fn, items))
            case "map-chunked":
                return list(self._executor.map(fn, items, chunksize=CHUNK))
            case _:
                return await gather_futures(self._executor, fn, items)

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        if self._way == "blocking":
            return self._executor.submit(fn, arg).result()
        return await asyncio.get_running_loop().run_in_executor(self._executor, fn, arg)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start an executor with the platform's start method, or `spawn` where the way says so."""
    context = multiprocessing.get_context("spawn") if way == "spawn" else None
    with ProcessPoolExecutor(WORKERS, mp_context=context) as executor:
        yield _Executor(executor, way)
