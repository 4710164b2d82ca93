"""Polars: its own expressions on two threads, no Python functions and one process."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.peers.session import WORKERS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from bench.peers.stages import Stages

os.environ["POLARS_MAX_THREADS"] = str(WORKERS)
polars: Any = import_module("polars")


class _Session:
    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:  # noqa: ARG002
        return await asyncio.to_thread(self._count, str(text))

    def _count(self, text: str) -> Iterable[tuple[str, int]]:
        word = polars.col("line").str.to_lowercase().str.extract_all("[a-z]+").alias("word")
        lines = polars.scan_lines(text, name="line")
        found = lines.select(word).explode("word").drop_nulls().group_by("word").len()
        rows: list[tuple[str, int]] = found.collect(engine="streaming").rows()
        return rows

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:  # noqa: ARG001 - there is one
    """Import it."""
    yield _Session()
