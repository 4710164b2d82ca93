"""asyncfabric's thin transport alone, without futures, envelopes or a scheduler: a lower limit."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asyncfabric.aws._session import Session
from asyncfabric.aws.transport import Reply, Request, open_transport
from bench.peers.cloud import FUNCTION, PAYLOAD

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncfabric.aws.transport import Transport, Unanswered
    from bench.peers.cloud import Invoker, Target

_SECONDS = 900.0


class _Bare:
    def __init__(self, transport: Transport, in_flight: int) -> None:
        self._transport = transport
        self._in_flight = in_flight

    async def invoke(self, n: int) -> int:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        request = Request(FUNCTION, PAYLOAD, tail=False, seconds=_SECONDS)
        launched = answered = good = 0

        def done(reply: Reply | Unanswered) -> None:
            nonlocal launched, answered, good
            answered += 1
            good += isinstance(reply, Reply) and reply.status == 200
            if launched < n:
                launched += 1
                self._transport.invoke(request, done)
            elif answered == n:
                over.set_result(None)

        launched = min(n, self._in_flight)
        for _ in range(launched):
            self._transport.invoke(request, done)
        await over
        return good


@asynccontextmanager
async def connect(_: str, target: Target) -> AsyncGenerator[Invoker]:
    """Open the thin transport by a session of the endpoint."""
    session = Session(region=target.region, endpoint_url=target.url)
    await session.open()
    try:
        transport = await open_transport(session, kind="thin", limit=target.in_flight)
        try:
            yield _Bare(transport, target.in_flight)
        finally:
            await transport.aclose()
    finally:
        await session.aclose()
