"""boto3's Invoke, bare, from 64 threads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.peers.boto3_client import THREADS, make_client
from bench.peers.cloud import FUNCTION, PAYLOAD, pump_threads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.peers.boto3_client import Client
    from bench.peers.cloud import Invoker, Target


class _Invoker:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def invoke(self, n: int) -> int:
        return sum(await pump_threads(self._one, range(n), THREADS))

    def _one(self, _: int) -> bool:
        answer = self._client.invoke(FunctionName=FUNCTION, Payload=PAYLOAD)
        return bool(answer["Payload"].read())


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Invoker]:
    """Make a client; `in_flight` beyond the number of threads has no effect."""
    client = make_client("lambda", target)
    try:
        yield _Invoker(client)
    finally:
        client.close()
