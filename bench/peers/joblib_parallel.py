"""joblib.Parallel on its default backend (loky). Blocking: it has no awaitables."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Generic, Literal, Protocol, Self, TypedDict, TypeVar, Unpack, cast

from bench.peers.session import CHUNK, WORKERS

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Generator,
        Iterable,
        Sequence,
    )

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")


class _Delayed(Generic[R]):
    """A call of a function with result R, as joblib keeps it; opaque."""


class _Parallel(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...
    def __call__(self, calls: Iterable[_Delayed[R]]) -> Generator[R, None, None] | list[R]:
        """See joblib.Parallel.__call__: a list, or a generator if `return_as` says so."""
        ...


class _Settings(TypedDict, total=False):
    batch_size: int
    pre_dispatch: str
    return_as: Literal["list", "generator"]


class _Package(Protocol):
    def Parallel(  # noqa: N802  (the peer's name)
        self, n_jobs: int, **settings: Unpack[_Settings]
    ) -> _Parallel:
        """See joblib.Parallel."""
        ...

    def delayed(self, function: Callable[[A], R]) -> Callable[[A], _Delayed[R]]:
        """See joblib.delayed."""
        ...


joblib = cast("_Package", import_module("joblib"))

_SETTINGS: dict[str, _Settings] = {
    "parallel": {},
    "batched": {"batch_size": CHUNK, "pre_dispatch": "all"},
    "generator": {"return_as": "generator"},
}


class _Session:
    def __init__(self, parallel: _Parallel) -> None:
        self._parallel = parallel

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        call = joblib.delayed(fn)
        return list(self._parallel(call(item) for item in items))

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return (await self.run(fn, [arg]))[0]

    async def stream(self, fn: Callable[[A], R], items: Iterable[A]) -> AsyncIterator[R]:
        call = joblib.delayed(fn)
        for result in self._parallel(call(item) for item in items):
            yield result


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Keep one set of workers for all calls of the session (Parallel as a context manager)."""
    with joblib.Parallel(n_jobs=WORKERS, **_SETTINGS[way]) as parallel:
        yield _Session(parallel)
