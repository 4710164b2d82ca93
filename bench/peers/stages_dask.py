"""dask.bag with the same Python functions, on two processes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.peers.session import WORKERS
from bench.peers.stages import size_of, words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from bench.peers.stages import Stages

bag: Any = import_module("dask.bag")


class _Session:
    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:
        size = -(-size_of(text) // partitions)
        lines = bag.read_text(str(text), blocksize=size)
        # Counts in each partition, then merges the dicts as a tree: it has no shuffle here.
        counting = lines.map(words).flatten().frequencies()
        result: list[tuple[str, int]] = await asyncio.to_thread(
            counting.compute, scheduler="processes", num_workers=WORKERS
        )
        return result

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        raise NotImplementedError


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:  # noqa: ARG001 - there is one
    """Import it; its processes start with the work."""
    yield _Session()
