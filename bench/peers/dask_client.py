"""dask.distributed, asynchronous: scheduler in the driver, two worker processes of one thread.

`pure=False` throughout: by default dask merges equal calls, which would not be the same work.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Client(Protocol):
    def submit(self, func: Callable[[A], R], arg: A, /, *, pure: bool) -> Awaitable[R]:
        """See distributed.Client.submit."""
        ...

    def map(
        self, func: Callable[[A], R], items: Sequence[A], /, *, pure: bool
    ) -> list[Awaitable[R]]:
        """See distributed.Client.map."""
        ...

    def gather(self, futures: list[Awaitable[R]]) -> Awaitable[list[R]]:
        """See distributed.Client.gather (asynchronous)."""
        ...


class _Package(Protocol):
    def LocalCluster(  # noqa: N802  (the peer's name)
        self,
        *,
        n_workers: int,
        threads_per_worker: int,
        processes: bool,
        dashboard_address: str | None,
        asynchronous: bool,
    ) -> AbstractAsyncContextManager[object]:
        """See distributed.LocalCluster."""
        ...

    def Client(  # noqa: N802  (the peer's name)
        self, cluster: object, *, asynchronous: bool
    ) -> AbstractAsyncContextManager[_Client]:
        """See distributed.Client."""
        ...


distributed = cast("_Package", import_module("distributed"))


class _Session:
    def __init__(self, client: _Client, way: str) -> None:
        self._client = client
        self._way = way

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        if self._way == "map":
            return await self._client.gather(self._client.map(fn, items, pure=False))
        return await asyncio.gather(*[self._client.submit(fn, item, pure=False) for item in items])

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return await self._client.submit(fn, arg, pure=False)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start a cluster on loopback without dashboard, and a client for it."""
    async with (
        distributed.LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            asynchronous=True,
        ) as cluster,
        distributed.Client(cluster, asynchronous=True) as client,
    ):
        yield _Session(client, way)
