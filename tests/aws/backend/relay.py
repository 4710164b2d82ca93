"""A server between a driver and its front that a test can let do as it likes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit

from asyncfabric.testing import LambdaFront


class Relay:
    """Passes requests on, one at a time on each connection.

    Attributes:
        requests: how many have come.
        refuse: given a request's head, returns a reply of the relay's own, or None to pass it on.
        spoil: given a reply, returns what the driver gets instead; None passes it on as it is.
    """

    def __init__(self, front: LambdaFront) -> None:
        self.requests = 0
        self.refuse: Callable[[str], bytes | None] = lambda _: None
        self.spoil: Callable[[bytes], bytes] | None = None
        self.url = ""
        parts = urlsplit(front.url)
        self._front = parts.hostname, parts.port
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def backend(self) -> str:
        """The URL for a Fabric."""
        return f"lambda://asyncfabric?region=us-east-1&endpoint_url={quote(self.url, safe='')}"

    def spoil_next(self, spoil: Callable[[bytes], bytes], replies: int = 1) -> None:
        """Spoil the next replies."""
        left = replies

        def once(reply: bytes) -> bytes:
            nonlocal left
            left -= 1
            if left <= 0:
                self.spoil = None
            return spoil(reply)

        self.spoil = once

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while (request := await _message(reader)) is not None:
                self.requests += 1
                reply = self.refuse(request[0].decode())
                if reply is None:
                    reply = await self._pass_on(request)
                writer.write(reply if self.spoil is None else self.spoil(reply))
        except OSError:
            return  # the driver has closed it
        finally:
            self._serving.discard(task)
            writer.close()

    async def _pass_on(self, request: tuple[bytes, bytes]) -> bytes:
        reader, writer = await asyncio.open_connection(*self._front)
        try:
            writer.write(request[0] + request[1])
            reply = await _message(reader)
        finally:
            writer.close()
            await writer.wait_closed()
        assert reply is not None
        return reply[0] + reply[1]

    async def aclose(self) -> None:
        """Wait for the end of every connection."""
        for task in (serving := list(self._serving)):
            task.cancel()
        if serving:
            await asyncio.wait(serving)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """Read a request or a reply: its head and its body; None at the end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode().lower().split("\r\n")
    length = next(int(each.split(":")[1]) for each in lines if each.startswith("content-length:"))
    return head, await reader.readexactly(length)


@asynccontextmanager
async def relay(front: LambdaFront) -> AsyncGenerator[Relay]:
    """Serve between a driver and a front."""
    made = Relay(front)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        await made.aclose()
        await server.wait_closed()
