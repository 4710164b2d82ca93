"""asyncfabric: `af.bsp.shuffle` and `af.bsp.sort` on two worker processes."""

from __future__ import annotations

import operator
import re
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncfabric as af
from bench.peers.session import WORKERS
from bench.peers.stages import KEY, RECORD, counted, one, size_of, words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator
    from pathlib import Path

    from bench.peers.stages import Stages

_find = re.compile(rb"[a-z]+").findall


def pairs(chunk: af.bsp.Chunk) -> Iterator[tuple[str, int]]:
    """Give each word by itself."""
    for line in chunk.lines():
        for word in words(line):
            yield one(word)


def counter(chunk: af.bsp.Chunk) -> Counter[str]:
    """Count a chunk's words line by line."""
    return counted(chunk.lines())


def whole(chunk: af.bsp.Chunk) -> Counter[bytes]:
    """Count a chunk's words at once."""
    return Counter(_find(chunk.read().lower()))


def first(word: Any, counts: Iterator[int]) -> tuple[str, int]:  # noqa: ANN401 - str or bytes
    """Return the sum that `combine` has made."""
    return word if isinstance(word, str) else word.decode(), next(counts)


def nothing(_: int) -> None:
    """Start a worker, with the NumPy that it will need."""
    import numpy as np

    np.argsort(np.arange(3))


class _Session:
    def __init__(self, fabric: af.Fabric, way: str) -> None:
        self._fabric = fabric
        self._way = way

    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:
        functions: dict[str, Any] = {"pairs": pairs, "counter": counter, "whole": whole}
        chunks = af.bsp.chunks(text.as_uri(), size=-(-size_of(text) // partitions))
        shuffled: list[list[tuple[str, int]]] = await af.bsp.shuffle(
            self._fabric,
            functions[self._way],
            chunks,
            first,
            partitions=partitions,
            combine=operator.add,
        )
        return [pair for partition in shuffled for pair in partition]

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        each = memory // WORKERS
        await af.bsp.sort(
            self._fabric, source.as_uri(), target.as_uri(), record=RECORD, key=KEY, memory=each
        )


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:
    """Start the workers."""
    async with af.Fabric(f"local://?processes={WORKERS}") as fabric:
        if way == "sort":
            await fabric.map(nothing, range(2 * WORKERS), chunksize=1)
        yield _Session(fabric, way)
