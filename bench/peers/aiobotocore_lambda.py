"""aiobotocore's Invoke, bare: no function, no results, nothing around it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers.aiobotocore_client import make_client
from bench.peers.cloud import FUNCTION, PAYLOAD, pump

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.peers.aiobotocore_client import Client
    from bench.peers.cloud import Invoker, Target


class _Invoker:
    def __init__(self, client: Client, in_flight: int) -> None:
        self._client = client
        self._in_flight = in_flight

    async def invoke(self, n: int) -> int:
        return sum(await pump(self._one, range(n), self._in_flight))

    async def _one(self, _: int) -> bool:
        answer = await self._client.invoke(FunctionName=FUNCTION, Payload=PAYLOAD)
        return bool(await answer["Payload"].read())


@asynccontextmanager
async def connect(way: str, target: Target) -> AsyncGenerator[Invoker]:
    """Make a client at its defaults but for the pool, or a tuned one."""
    async with make_client("lambda", target, tuned=way == "invoke-tuned") as client:
        yield _Invoker(client, target.in_flight)
