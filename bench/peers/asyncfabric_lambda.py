"""asyncfabric itself on `lambda://`: from `Fabric.map` to its list, a call an invocation."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncfabric as af
from bench.peers.cloud import FUNCTION
from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.peers.cloud import Invoker, Target


class _Fabric:
    def __init__(self, fabric: af.Fabric) -> None:
        self._fabric = fabric

    async def invoke(self, n: int) -> int:
        results = await self._fabric.map(identity, range(n), chunksize=1)
        return sum(map(int.__eq__, results, range(n)))


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Invoker]:
    """Start a Fabric on the endpoint; its function and its bucket need not be deployed there."""
    # the transport by name: whoever runs this may have a proxy configured, which chooses the other
    region = f"region={target.region}"
    async with af.Fabric(
        f"lambda://{FUNCTION}?{region}&endpoint_url={target.url}&transport=thin",
        storage=f"s3://{target.bucket}/fabric?{region}&endpoint_url={target.objects_url}",
        max_concurrency=target.in_flight,
    ) as fabric:
        yield _Fabric(fabric)
