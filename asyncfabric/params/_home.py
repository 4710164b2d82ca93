"""Where a ParameterServer's operations are carried out, awaiting or blocking."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime._context import in_worker, running_slot

from ._address import Address
from ._attempts import counter, single
from ._blocking_link import blocking_link_to, close_blocking_link
from ._link import close_link, link_to
from ._place import Place
from ._private import PrivateRedis

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._attempts import Ticket
    from ._keys import Keys
    from ._steps import Steps

T = TypeVar("T")


class Home:
    """An address, known or still to be made by starting a private Redis.

    It pickles as its address and keys.
    """

    def __init__(self, keys: Keys, address: Address | None, patience: float = 30.0) -> None:
        self.keys = keys
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
        return Home, (self.keys, self._place.address)

    # -- awaiting -------------------------------------------------------------------------------

    async def place(self) -> Place:
        """Return where it is; starts a private Redis the first time."""
        return await asyncio.to_thread(self._start) if self._place is None else self._place

    async def run(self, make: Callable[[Place], Steps[T]]) -> T:
        """Carry an operation out."""
        place = await self.place()
        return await _follow(make(place), place.address)

    async def run_once(
        self, name: str, token: str | None, make: Callable[[Place, Ticket], Steps[T]]
    ) -> T:
        """Carry out an operation on parameter `name` that is applied once for its ticket."""
        place = await self.place()
        of_call = None if token is not None else counter(place.server, name)
        if of_call is None:
            return await _follow(make(place, single(token)), place.address)
        async with of_call.turn() as ticket:
            return await _follow(make(place, ticket), place.address)

    async def connect(self) -> None:
        """Make the connection."""
        await link_to((await self.place()).address).run(())

    async def aclose(self) -> None:
        """Disconnect; end a private Redis."""
        if self._place is not None:
            await close_link(self._place.address)
            close_blocking_link(self._place.address)
        if self._private is not None:
            await asyncio.to_thread(self._private.stop)

    # -- blocking -------------------------------------------------------------------------------

    def run_blocking(self, make: Callable[[Place], Steps[T]]) -> T:
        """Carry an operation out, blocking."""
        _refuse_to_block()
        place = self._start()
        return _follow_blocking(make(place), place.address)

    def run_once_blocking(
        self, name: str, token: str | None, make: Callable[[Place, Ticket], Steps[T]]
    ) -> T:
        """Do what `run_once` does, blocking."""
        _refuse_to_block()
        place = self._start()
        of_call = None if token is not None else counter(place.server, name)
        if of_call is None:
            return _follow_blocking(make(place, single(token)), place.address)
        with of_call.blocking_turn() as ticket:
            return _follow_blocking(make(place, ticket), place.address)

    def _start(self) -> Place:
        with self._starting:
            if self._place is None:
                assert self._private is not None  # noqa: S101 - one or the other
                if os.environ.get("ASYNCFABRIC_BACKEND", "").startswith("lambda:"):
                    raise ConfigurationError(
                        "ASYNCFABRIC_BACKEND names Lambda functions, and these can't reach a "
                        "private Redis on this machine: give the ParameterServer, or "
                        "ASYNCFABRIC_REDIS, the URL of a Redis that they can reach, in their VPC"
                    )
                self._private.start()
                address = Address(self._private.url, None, self._patience, private=True)
                self._place = Place(address, self.keys)
            return self._place


async def _follow(steps: Steps[T], address: Address) -> T:
    link = link_to(address)
    try:
        commands = next(steps)
        while True:
            commands = steps.send(await link.run(commands))
    except StopIteration as end:
        result: T = end.value
        return result


def _follow_blocking(steps: Steps[T], address: Address) -> T:
    link = blocking_link_to(address)
    try:
        commands = next(steps)
        while True:
            commands = steps.send(link.run(commands))
    except StopIteration as end:
        result: T = end.value
        return result


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
