"""asyncfabric itself, on two local worker processes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import asyncfabric as af
from bench.peers.session import WORKERS
from bench.work import read_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Fabric:
    def __init__(self, fabric: af.Fabric, way: str) -> None:
        self._fabric = fabric
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        match self._way:
            case "submit":
                return await asyncio.gather(*[self._fabric.submit(fn, item) for item in items])
            case "as_completed":
                calls = af.as_completed(self._fabric.map(fn, items))
                return [call.result() async for call in calls]
            case _:
                return await self._fabric.map(fn, items)

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return await self._fabric.submit(fn, arg)

    def stream(self, fn: Callable[[A], R], items: Iterable[A]) -> AsyncIterator[R]:
        return self._fabric.map(fn, items)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start a Fabric on `local://` with the tables' number of workers."""
    async with af.Fabric(f"local://?processes={WORKERS}") as fabric:
        yield _Fabric(fabric, way)


async def first_object_read(store: str, key: str) -> tuple[int, float]:
    """Start a Fabric over a store and have a worker read an object: its size, the worker's CPU."""
    async with af.Fabric(f"local://?processes={WORKERS}", storage=store) as fabric:
        return await fabric.submit(read_object, key)
