"""GNU sort, two threads, bytes compared as bytes."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers.session import WORKERS, MissingPackageError
from bench.peers.stages import KEY, files_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from bench.peers.stages import Stages

_WAYS = {"key": ("--stable", f"--key=1.1,1.{KEY}"), "line": ()}


class _Session:
    def __init__(self, program: str, way: str) -> None:
        self._program = program
        self._options = _WAYS[way]

    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:
        raise NotImplementedError

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        process = await asyncio.create_subprocess_exec(
            self._program,
            *self._options,
            f"--parallel={WORKERS}",
            f"--buffer-size={memory}b",
            f"--output={target / 'sorted'}",
            *sorted(map(str, files_of(source))),
            env=os.environ | {"LC_ALL": "C"},
        )
        if await process.wait():
            message = f"sort ended with {process.returncode}"
            raise RuntimeError(message)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:
    """Find the program."""
    program = shutil.which("gsort") or shutil.which("sort")
    if program is None:
        message = "GNU sort: not installed here"
        raise MissingPackageError(message)
    yield _Session(program, way)
