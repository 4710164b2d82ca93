"""Where a host is: its addresses, looked up once a minute."""

from __future__ import annotations

import asyncio
import socket
from typing import NamedTuple

from ._protocol import Unanswered

TTL = 60.0
"""Seconds that addresses are used; AWS's own names change theirs about that often."""
AGAIN = 5.0
"""Seconds until the next look-up, when one failed or the only address can't be reached."""


class Address(NamedTuple):
    """Whom to connect to."""

    family: int
    sockaddr: tuple[object, ...]


class Addresses:
    """The addresses of one host, handed out in turn: its load balancer has several.

    Args:
        host: a name or an IP address.
        port: the port.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._known: list[Address] = []
        self._turn = 0
        self._until = float("-inf")
        self._lookup: asyncio.Task[None] | None = None

    async def get(self) -> list[Address]:
        """Return the addresses, in the order in which they should be tried.

        Raises:
            Unanswered: there are none.
        """
        loop = asyncio.get_running_loop()
        if loop.time() >= self._until:
            if self._lookup is None:
                self._lookup = loop.create_task(self._look_up())
                self._lookup.add_done_callback(self._looked_up)
            # Those of before are good meanwhile: a name server may take half a minute to fail.
            if not self._known:
                await asyncio.shield(self._lookup)
        turn = self._turn = (self._turn + 1) % len(self._known)
        return self._known[turn:] + self._known[:turn]

    def forget(self, address: Address) -> None:
        """Don't hand out an address that can't be reached, before the next look-up.

        The last one stays, and is looked up again soon.
        """
        if self._known == [address]:
            self._until = min(self._until, asyncio.get_running_loop().time() + AGAIN)
        elif address in self._known:
            self._known.remove(address)

    async def aclose(self) -> None:
        """Stop a look-up that is under way."""
        if self._lookup is not None:
            self._lookup.cancel()
            await asyncio.wait([self._lookup])

    def _looked_up(self, lookup: asyncio.Task[None]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # those who wait for it have it

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            if self._known:  # a name server that fails for a moment is no reason to stop
                self._until = loop.time() + AGAIN
                return
            temporary = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            raise Unanswered(
                f"the host {self._host} has no address ({error})",
                written=False,
                why="dns" if temporary else "nowhere",
            ) from error
        self._known = [Address(family, sockaddr) for family, _, _, _, sockaddr in found]
        self._until = loop.time() + TTL
