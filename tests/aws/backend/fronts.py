"""Fronts of a test's own, and what tests of several modules look at."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from asyncfabric_storage import LocalStore
from tests.api.until import until


def sure_sdk() -> None:
    """Load what the first Fabric would load, and keep open."""
    from asyncfabric.aws._sdk import load

    for name in ("aiobotocore.session", "aiobotocore.config", "botocore.exceptions"):
        load(name)


async def settled(front: LambdaFront) -> None:
    """Wait until nothing runs any more and every connection is closed at both ends."""
    await front.until(lambda counters: counters.running == 0)
    service: Any = front._service
    await until(lambda: not service._web.connections)


@asynccontextmanager
async def cloud(
    *, concurrency: int | None = 4, options: dict[str, Any] | None = None, **settings: Any
) -> AsyncGenerator[tuple[LambdaFront, Any]]:
    """Open a front of the test's own, and a Fabric on it.

    It makes no copies unless it is asked to: tests count what is executed.
    """
    given: dict[str, Any] = {"hedge": None, **(options or {})}
    async with (
        LambdaFront(**settings) as front,
        af.Fabric(front.backend, max_concurrency=concurrency, **given) as fabric,
    ):
        yield front, fabric


class CountingStore(LocalStore):
    """A store in a directory that counts what the driver asks of it, by method."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.counts: dict[str, int] = {}

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        self._count("get")
        return await super().get(key, start=start, end=end)

    async def put(self, key: str, data: Any) -> None:
        self._count("put")
        await super().put(key, data)

    async def put_if_absent(self, key: str, data: Any) -> bool:
        self._count("put_if_absent")
        return await super().put_if_absent(key, data)

    async def head(self, key: str) -> Any:
        self._count("head")
        return await super().head(key)

    async def delete(self, key: str) -> None:
        self._count("delete")
        await super().delete(key)


def objects(path: Path) -> list[str]:
    """Return the keys of what a directory store holds, leaving out its own bookkeeping."""
    return sorted(
        str(each.relative_to(path))
        for each in path.rglob("*")
        if each.is_file() and not each.name.startswith(".")
    )
