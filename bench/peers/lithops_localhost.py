"""Lithops on its localhost backend and storage, configured by a dict: no file in the home."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, TypeVar, cast

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from bench.peers.session import Session

A = TypeVar("A")
R = TypeVar("R")

_Config: TypeAlias = "Mapping[str, Mapping[str, str | int | float | bool]]"


class _Executor(Protocol):
    def map(self, function: Callable[[A], R], items: list[tuple[A]]) -> list[R]:
        """See lithops.FunctionExecutor.map; futures really, here opaque."""
        ...

    def get_result(self, futures: list[R], *, wait_dur_sec: float | None) -> list[R] | R:
        """See lithops.FunctionExecutor.get_result."""
        ...

    def clean(self) -> None:
        """See lithops.FunctionExecutor.clean."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


class _Package(Protocol):
    def FunctionExecutor(  # noqa: N802  (the peer's name)
        self, *, config: _Config, log_level: str | None
    ) -> _Executor:
        """See lithops.FunctionExecutor."""
        ...


lithops = cast("_Package", import_module("lithops"))

_COMMON = {"backend": "localhost", "storage": "localhost"}
_DEFAULT: _Config = {
    "lithops": _COMMON,
    "localhost": {"runtime": sys.executable, "worker_processes": WORKERS},
}
_TUNED: _Config = {
    "lithops": {**_COMMON, "monitoring_interval": 0.01, "data_limit": 0},  # 0: no 4 MiB limit
    "localhost": {"runtime": sys.executable, "worker_processes": WORKERS, "version": 1},
}
_POLL_SECONDS = 0.01


class _Session:
    def __init__(self, executor: _Executor, poll: float | None) -> None:
        self._executor = executor
        self._poll = poll

    async def run(self, fn: Callable[[A], R], items: Sequence[A]) -> Sequence[R]:
        futures = self._executor.map(fn, [(item,) for item in items])
        return cast("list[R]", self._executor.get_result(futures, wait_dur_sec=self._poll))

    async def call(self, fn: Callable[[A], R], arg: A) -> R:
        return (await self.run(fn, [arg]))[0]


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Session]:
    """Make an executor at the localhost defaults, or polling faster with one runner a job."""
    tuned = way == "map-tuned"
    config = _TUNED if tuned else _DEFAULT
    with lithops.FunctionExecutor(config=config, log_level=None) as executor:
        yield _Session(executor, _POLL_SECONDS if tuned else None)
