"""Where a ParameterServer's operations are carried out, awaiting or blocking."""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime._context import in_worker, running_slot

from ._address import Address
from ._attempts import Turn, counter, single
from ._blocking_link import blocking_link_to, close_blocking_link
from ._link import close_link, link_to
from ._place import Place
from ._private import PrivateRedis
from ._replica import REPLICAS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._attempts import Ticket
    from ._blocking_link import BlockingLink
    from ._keys import Keys
    from ._link import Link
    from ._steps import Steps

T = TypeVar("T")

_PRIVATE = (
    "workers on other machines, such as Lambda functions, can't reach a private Redis on this one: "
    "give the ParameterServer, or ASYNCFABRIC_REDIS, the URL of a Redis that they can reach, in "
    "their VPC"
)


class Home:
    """An address, known or still to be made by starting a private Redis.

    It pickles as its address and keys.

    Attributes:
        user: random text, the same for all copies: closing one closes their connections, and not
            those of other servers at the same address.
    """

    def __init__(
        self,
        keys: Keys,
        address: Address | None,
        patience: float = 30.0,
        user: str | None = None,
    ) -> None:
        self.keys = keys
        self.user: str = user or secrets.token_hex(8)
        self._patience = patience
        self._private = PrivateRedis() if address is None else None
        self._starting = threading.Lock()
        self._place = None if address is None else Place(address, keys)

    def __str__(self) -> str:
        if self._private is not None:
            return "a private Redis"
        return "" if self._place is None else str(self._place.address)

    def __reduce__(self) -> tuple[type[Home], tuple[Any, ...]]:
        if self._place is None:
            raise ConfigurationError(
                "a ParameterServer with a private Redis can't be sent to a worker before that "
                "Redis runs: enter the server with 'async with', or use it once"
            )
        return Home, (self.keys, self._place.address, self._patience, self.user)

    def __asyncfabric_identity__(self) -> tuple[object, ...]:
        """Return address and keys: a durable job goes on with the same ones."""
        return self.__reduce__()[1][:-1]

    def check_remote(self) -> None:
        """Raise `ConfigurationError` if workers on other machines can't reach it."""
        if self._private is not None or (self._place is not None and self._place.address.private):
            raise ConfigurationError(_PRIVATE)

    # -- awaiting -------------------------------------------------------------------------------

    async def place(self) -> Place:
        """Return where it is; starts a private Redis the first time."""
        return await asyncio.to_thread(self._start) if self._place is None else self._place

    async def run(self, make: Callable[[Place], Steps[T]]) -> T:
        """Carry an operation out."""
        place, link = await self.link()
        return await link.follow(make(place))

    async def run_once(
        self, what: str, token: str | None, make: Callable[[Place, Ticket], Steps[T]]
    ) -> T:
        """Carry out an operation that is applied once for its ticket.

        `what` is its kind and its parameter.
        """
        place, link = await self.link()
        turn = self.turn(place, what, token)
        try:
            return await link.follow(make(place, turn.begin()))
        finally:
            turn.over = True

    async def connect(self) -> None:
        """Make the connection."""
        _, link = await self.link()
        await link.run(())

    async def aclose(self) -> None:
        """Disconnect; end a private Redis."""
        if self._place is not None:
            REPLICAS.drop(self._place.server)
            await close_link(self._place.address, self.user)
            # It may have to wait for a command that a thread is in.
            await asyncio.to_thread(close_blocking_link, self._place.address, self.user)
        if self._private is not None:
            await asyncio.to_thread(self._private.stop)
            self._private = PrivateRedis()
            self._place = None  # used once more, it starts another one

    async def link(self) -> tuple[Place, Link]:
        """Return where it is, and the running loop's connection to it."""
        place = await self.place()
        return place, link_to(place.address, self.user)

    # -- blocking -------------------------------------------------------------------------------

    def run_blocking(self, make: Callable[[Place], Steps[T]]) -> T:
        """Carry an operation out, blocking."""
        place, link = self.blocking_link()
        return link.follow(make(place))

    def run_once_blocking(
        self, what: str, token: str | None, make: Callable[[Place, Ticket], Steps[T]]
    ) -> T:
        """Do what `run_once` does, blocking."""
        place, link = self.blocking_link()
        turn = self.turn(place, what, token)
        try:
            return link.follow(make(place, turn.begin()))
        finally:
            turn.over = True

    def blocking_link(self) -> tuple[Place, BlockingLink]:
        """Return where it is, and this process's connection to it."""
        _refuse_to_block()
        place = self._start()
        return place, blocking_link_to(place.address, self.user)

    # -- both -----------------------------------------------------------------------------------

    def turn(self, place: Place, what: str, token: str | None = None) -> Turn:
        """Return the turn of a push that hasn't begun."""
        of_call = None if token is not None else counter(place.server, what)
        return Turn(single(token, what)) if of_call is None else of_call.turn()

    def _start(self) -> Place:
        with self._starting:
            if self._place is None:
                assert self._private is not None  # noqa: S101 - one or the other
                if os.environ.get("ASYNCFABRIC_BACKEND", "").startswith("lambda:"):
                    raise ConfigurationError(_PRIVATE)
                self._private.start()
                address = Address(self._private.url, None, self._patience, private=True)
                self._place = Place(address, self.keys)
            return self._place


def _refuse_to_block() -> None:
    slot = running_slot()
    if slot is not None and not slot.invocation.plan.is_async:
        return
    if slot is None and in_worker():
        return  # a thread that a plain function started
    raise RuntimeError(
        "ParameterServer.blocking is for plain functions that a Fabric runs; here, await the "
        "server's own methods: 'await ps.pull(...)' instead of 'ps.blocking.pull(...)'"
    )
