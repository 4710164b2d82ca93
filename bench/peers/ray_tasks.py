"""Ray tasks on a local Ray of two CPUs. It has no batching of small calls to turn on."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")
A_contra = TypeVar("A_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class _Remote(Protocol[A_contra, R_co]):
    def remote(self, arg: A_contra, /) -> Awaitable[R_co]:
        """See ray.remote_function.RemoteFunction.remote."""
        ...


class _Package(Protocol):
    def init(
        self, *, num_cpus: int, include_dashboard: bool, log_to_driver: bool, logging_level: str
    ) -> object:
        """See ray.init."""
        ...

    def remote(self, function: Callable[[A], R]) -> _Remote[A, R]:
        """See ray.remote."""
        ...

    def get(self, refs: list[Awaitable[R]]) -> list[R]:
        """See ray.get."""
        ...

    def shutdown(self) -> None:
        """See ray.shutdown."""
        ...


ray = cast("_Package", import_module("ray"))


class _Session:
    def __init__(self, way: str) -> None:
        self._way = way
        self._remotes: dict[object, object] = {}

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        remote = self._remote(fn)
        refs = [remote.remote(item) for item in items]
        if self._way == "get":
            return ray.get(refs)
        return await asyncio.gather(*refs)

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        ref = self._remote(fn).remote(arg)
        if self._way == "get":
            return ray.get([ref])[0]
        return await ref

    def _remote(self, fn: Callable[[A], R]) -> _Remote[A, R]:
        """Return one remote function per function, as a decorator would: not one per call."""
        if fn not in self._remotes:
            self._remotes[fn] = ray.remote(fn)
        return cast("_Remote[A, R]", self._remotes[fn])


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Start a Ray of its own without dashboard, and stop it."""
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield _Session(way)
    finally:
        ray.shutdown()
