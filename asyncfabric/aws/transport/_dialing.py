"""Opening connections to one host: an address that answers, and TLS."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ._addresses import Addresses
from ._protocol import Unanswered
from ._sockets import new_socket

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._addresses import Address
    from ._connection import Connection

OPEN_TIMEOUT = 10.0
"""Seconds that one address may take, and after that TLS."""
ADDRESSES = 3
"""Addresses tried for one connection."""
_EXHAUSTED = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""What this machine has run out of: descriptors, memory, ports. No fault of an address."""


class Exhausted(Unanswered):
    """This machine has no room for another connection; the request was not sent."""


class Dialer:
    """Opens connections, each in the task that asks for it.

    `loop.sock_connect` with a timeout takes twice the time of what is done here, and ten thousand
    connections are opened at once.

    Args:
        url: the endpoint.
        trust: what TLS trusts; None for plain HTTP.
        make: returns the protocol of a connected socket.
    """

    def __init__(
        self, url: str, trust: ssl.SSLContext | None, make: Callable[[socket.socket], Connection]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        port = parts.port or (443 if trust else 80)
        self._place = f"{self._host} port {port}"
        self._addresses = Addresses(self._host, port)
        self._make = make
        self._proven = False  # TLS worked once
        self._trust = trust
        self._connecting: dict[asyncio.Future[None], float] = {}  # since when, oldest first

    async def open(self) -> Connection:
        """Return an open connection.

        Raises:
            Unanswered: there is none to be had; `Exhausted` where this machine is the reason.
        """
        last: OSError | None = None
        for address in (await self._addresses.get())[:ADDRESSES]:
            try:
                connection = await self._adopt(await self._connect(address))
            except ssl.SSLError as error:
                raise self._no_tls(error) from error
            except OSError as error:  # a timeout is one, too
                last = error
                if error.errno in _EXHAUSTED:
                    raise Exhausted(self._nothing(error), written=False, why="connect") from error
                self._addresses.forget(address)
            else:
                self._proven = True
                return connection
        raise Unanswered(self._nothing(last), written=False, why="connect") from last

    def expire(self, now: float) -> None:
        """Give up the addresses that have not answered in time."""
        for ready, since in self._connecting.items():
            if since > now - OPEN_TIMEOUT:
                break
            if not ready.done():
                ready.set_exception(TimeoutError(f"no answer within {OPEN_TIMEOUT:g} s"))

    async def aclose(self) -> None:
        """Stop what goes on by itself."""
        await self._addresses.aclose()

    async def _connect(self, address: Address) -> socket.socket:
        sock = new_socket(address.family)
        try:
            error = sock.connect_ex(address.sockaddr)
            if error == errno.EINPROGRESS:
                await self._writable(sock.fileno())
                error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _writable(self, descriptor: int) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._connecting[ready] = self._loop.time()
        self._loop.add_writer(descriptor, _wake, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(descriptor)
            del self._connecting[ready]

    async def _adopt(self, sock: socket.socket) -> Connection:
        connection = self._make(sock)
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._trust,
                server_hostname=self._host if self._trust else None,
                ssl_handshake_timeout=OPEN_TIMEOUT if self._trust else None,
            )
        except BaseException:
            # In this order: the loop would mistake another socket with its number for a closed one.
            connection.close()
            sock.close()
            raise
        if connection.ended:
            raise ConnectionAbortedError("closed as soon as it was open")
        return connection

    def _nothing(self, error: OSError | None) -> str:
        return f"no connection to {self._place} ({error})"

    def _no_tls(self, error: ssl.SSLError) -> Unanswered:
        # Where TLS worked before, a handshake that breaks off is an accident.
        accident = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or (
            self._proven and not isinstance(error, ssl.SSLCertVerificationError)
        )
        return Unanswered(
            f"no TLS connection to {self._place} ({error})",
            written=False,
            why="connect" if accident else "tls",
        )


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
