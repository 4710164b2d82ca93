"""A server that does what a test tells it, byte by byte, and remembers what it saw."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent / "certificates"
AUTHORITY = str(HERE / "authority.pem")
"""The certificate of an authority that nobody trusts by himself; its key is thrown away."""

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"ok"'


@dataclass(frozen=True)
class Got:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


class Peer:
    """The server's end of one connection."""

    def __init__(
        self,
        server: "Scripted",
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self._server = server
        self._reader = reader
        self._writer = writer

    async def head(self) -> tuple[str, dict[str, str]]:
        """Read a request's head."""
        text = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        return line, {n.lower(): v for n, v in (each.split(": ", 1) for each in lines)}

    async def request(self) -> Got:
        """Read one request."""
        line, headers = await self.head()
        body = await self._reader.readexactly(int(headers["content-length"]))
        got = Got(line, headers, body, self.number)
        self._server.requests.append(got)
        return got

    async def read(self, size: int) -> bytes:
        """Read so many bytes."""
        return await self._reader.readexactly(size)

    async def end(self) -> bytes:
        """Read until the client hangs up."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""

    async def send(self, *pieces: bytes) -> None:
        """Send each piece in a packet of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def start_tls(self) -> None:
        """Speak TLS from now on."""
        await self._writer.start_tls(_identity())

    def reset(self) -> None:
        """Hang up without a goodbye."""
        sock: socket.socket = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def half_close(self) -> None:
        """Send no more."""
        self._writer.write_eof()


def _identity() -> ssl.SSLContext:
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(HERE / "localhost.pem")
    return trust


Script = Callable[[Peer], Awaitable[None]]


class Scripted:
    """A server whose every connection runs a script, and is closed at the script's end.

    Args:
        script: what to do with a connection.
        tls: speak TLS, as `localhost`.
    """

    def __init__(self, script: Script, *, tls: bool = False) -> None:
        self.connections = 0
        self.requests: list[Got] = []
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        trust = _identity() if self._tls else None
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=trust, backlog=1024
        )
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()
        if self._failures and error is None:
            raise self._failures[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._script(Peer(self, self.connections, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has hung up
        except asyncio.CancelledError:
            pass  # the end of the test
        except Exception as failure:  # noqa: BLE001 - raised at the end
            self._failures.append(failure)
        finally:
            self._tasks.discard(task)
            writer.close()
