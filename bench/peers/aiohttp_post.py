"""aiohttp posting to the Invoke address, unsigned: a general HTTP client without an SDK."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from bench.peers.cloud import FUNCTION, PAYLOAD, pump

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from bench.peers.cloud import Invoker, Target


class _Answer(Protocol):
    status: int

    async def read(self) -> bytes:
        """See aiohttp.ClientResponse.read."""
        ...


class _Client(Protocol):
    def post(self, url: str, *, data: bytes) -> AbstractAsyncContextManager[_Answer]:
        """See aiohttp.ClientSession.post."""
        ...


class _Package(Protocol):
    def ClientSession(  # noqa: N802  (the peer's name)
        self, *, connector: object, timeout: object
    ) -> AbstractAsyncContextManager[_Client]:
        """See aiohttp.ClientSession."""
        ...

    def ClientTimeout(self, *, total: float) -> object:  # noqa: N802
        """See aiohttp.ClientTimeout."""
        ...

    def TCPConnector(  # noqa: N802
        self, *, limit: int, ssl: ssl.SSLContext | bool, keepalive_timeout: float
    ) -> object:
        """See aiohttp.TCPConnector."""
        ...


aiohttp = cast("_Package", import_module("aiohttp"))


class _Invoker:
    def __init__(self, client: _Client, target: Target) -> None:
        self._client = client
        self._url = f"{target.url}/2015-03-31/functions/{FUNCTION}/invocations"
        self._in_flight = target.in_flight

    async def invoke(self, n: int) -> int:
        return sum(await pump(self._one, range(n), self._in_flight))

    async def _one(self, _: int) -> bool:
        async with self._client.post(self._url, data=PAYLOAD) as answer:
            await answer.read()
            return answer.status == 200


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Invoker]:
    """Make a client with a pool as wide as it needs."""
    trust = True if target.certificate is None else ssl.create_default_context()
    connector = aiohttp.TCPConnector(limit=target.in_flight, ssl=trust, keepalive_timeout=120)
    timeout = aiohttp.ClientTimeout(total=960)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        yield _Invoker(client, target)
