"""DuckDB: SQL on two threads within a memory limit, spilling to files."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.peers.session import WORKERS
from bench.peers.stages import KEY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from bench.peers.stages import Stages

duckdb: Any = import_module("duckdb")

_LINES = "read_csv({}, header=false, delim='', quote='', escape='', columns={{'line': 'VARCHAR'}})"


class _Session:
    def __init__(self, connection: Any) -> None:  # noqa: ANN401 - without types
        self._connection = connection

    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:  # noqa: ARG002
        query = (
            "SELECT word, count(*) FROM (SELECT unnest(string_split_regex(lower(line), '[^a-z]+'))"
            f" AS word FROM {_LINES.format(repr(str(text)))}) WHERE word != '' GROUP BY word"
        )
        rows: list[tuple[str, int]] = await asyncio.to_thread(
            self._connection.execute(query).fetchall
        )
        return rows

    async def sort(self, source: Path, target: Path, memory: int) -> None:
        lines = _LINES.format(repr(f"{source}/*"))
        key = f"line[:{KEY}]"
        query = (
            f"SET memory_limit='{memory}B'; SET preserve_insertion_order=false; "
            f"COPY (SELECT line FROM {lines} ORDER BY {key}) TO '{target}/sorted' "
            "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '|')"
        )
        await asyncio.to_thread(self._connection.execute, query)


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:  # noqa: ARG001 - there is one
    """Open a database in memory."""
    connection = duckdb.connect()
    try:
        connection.execute(f"SET threads={WORKERS}")
        connection.execute(f"SET temp_directory='{os.environ.get('TMPDIR', '/tmp')}/duckdb'")
        yield _Session(connection)
    finally:
        connection.close()
