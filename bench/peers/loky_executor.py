"""loky's reusable executor, the process pool under joblib."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from bench.peers.session import CHUNK, WORKERS, gather_futures

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from concurrent.futures import Executor

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Package(Protocol):
    def get_reusable_executor(self, max_workers: int) -> Executor:
        """See loky.get_reusable_executor."""
        ...


loky = cast("_Package", import_module("loky"))


class _Session:
    def __init__(self, executor: Executor, way: str) -> None:
        self._executor = executor
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        if self._way == "map-chunked":
            return list(self._executor.map(fn, items, chunksize=CHUNK))
        return await gather_futures(self._executor, fn, items)

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._executor, fn, arg)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start the executor and wait for its processes to end afterwards."""
    with loky.get_reusable_executor(max_workers=WORKERS) as executor:
        yield _Session(executor, way)
