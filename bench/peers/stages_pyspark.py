"""PySpark, `local[2]`: RDDs with the same Python functions, and DataFrames, which run none.

The driver is the only process with a JVM here, so `spark.driver.memory` is what Spark may use; its
Python workers come on top. Without a JRE the peer is missing.
"""

from __future__ import annotations

import asyncio
import operator
import os
import shutil
import sys
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.peers.session import WORKERS, MissingPackageError
from bench.peers.stages import KEY, counted, one, words

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from pathlib import Path

    from bench.peers.stages import Stages

sql: Any = import_module("pyspark.sql")
functions: Any = import_module("pyspark.sql.functions")

_HEAP = "512m"  # 2 x 256 MiB, as asyncfabric's workers have


def counted_pairs(lines: Iterable[str]) -> Iterable[tuple[str, int]]:
    """Count the words of a partition."""
    return counted(lines).items()


class _Session:
    def __init__(self, session: Any, way: str) -> None:  # noqa: ANN401 - without types
        self._session = session
        self._way = way

    async def count(self, text: Path, partitions: int) -> Iterable[tuple[str, int]]:
        return await asyncio.to_thread(self._count, text.as_uri(), partitions)

    def _count(self, text: str, partitions: int) -> Iterable[tuple[str, int]]:
        session = self._session
        if self._way == "dataframe":
            session.conf.set("spark.sql.shuffle.partitions", str(partitions))
            lower = functions.lower(functions.col("value"))
            each = functions.explode(functions.split(lower, "[^a-z]+")).alias("word")
            found = session.read.text(text).select(each).where("word != ''")
            return [tuple(row) for row in found.groupBy("word").count().collect()]
        lines = session.sparkContext.textFile(text, minPartitions=partitions)
        if self._way == "rdd":
            pairs = lines.flatMap(words).map(one)
        else:
            pairs = lines.mapPartitions(counted_pairs)
        found = pairs.reduceByKey(operator.add, partitions).collect()
        result: list[tuple[str, int]] = found
        return result

    async def sort(self, source: Path, target: Path, memory: int) -> None:  # noqa: ARG002 - _HEAP
        await asyncio.to_thread(self._sort, source.as_uri(), target.as_uri())

    def _sort(self, source: str, target: str) -> None:
        key = functions.substring("value", 1, KEY)
        self._session.read.text(source).orderBy(key).write.text(f"{target}/sorted")


@asynccontextmanager
async def connect(way: str) -> AsyncGenerator[Stages]:
    """Start a JVM and a session in it."""
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        message = "PySpark needs a Java runtime: not installed here"
        raise MissingPackageError(message)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = sql.SparkSession.builder.master(f"local[{WORKERS}]")
    for name, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": os.environ.get("TMPDIR", "/tmp"),
        "spark.driver.memory": _HEAP if way.endswith("sort") else "2g",
        "spark.sql.files.maxPartitionBytes": "32m",
    }.items():
        builder = builder.config(name, value)
    session = await asyncio.to_thread(builder.getOrCreate)
    try:
        yield _Session(session, way)
    finally:
        await asyncio.to_thread(session.stop)
