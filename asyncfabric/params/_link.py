"""The async connection: one for each event loop and server, used by all of the loop's tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ._connecting import (
    HANDSHAKE,
    answer,
    connection_options,
    fatal,
    incarnation_of,
    pause,
    require_redis,
    unreachable,
    words,
)
from ._steps import BATCH_BYTES, Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._address import Address
    from ._steps import Command, Reply


@dataclass(frozen=True, slots=True)
class _Job:
    commands: Sequence[Command]
    future: asyncio.Future[Answer]
    until: float  # the loop's time

    @property
    def size(self) -> int:
        return sum(len(word) for c in self.commands for word in c if isinstance(word, bytes))


class Link:
    """A connection whose commands leave in the order in which they were given, pipelined.

    No caller ever reads from the socket: one task does. A caller that is cancelled leaves, and the
    reply that it no longer waits for is read and dropped, so that nobody else gets it. A connection
    on which anything went wrong is discarded; what it had not answered goes out again on the next
    one, which is harmless for every command that is sent here.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._jobs: deque[_Job] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._incarnation = ""

    async def run(self, commands: Sequence[Command]) -> Answer:
        """Carry commands out; raises `ServerUnreachable` when the address's patience is over."""
        if not commands and self._connection is not None:
            return Answer((), self._incarnation)
        loop = asyncio.get_running_loop()
        job = _Job(commands, loop.create_future(), loop.time() + self._address.patience)
        self._jobs.append(job)
        if self._pump is None:
            self._pump = loop.create_task(self._work(), name=f"asyncfabric-redis {self._address}")
        return await job.future

    async def aclose(self) -> None:
        """Disconnect; whoever still waits for an answer gets `ServerUnreachable`."""
        pump = self._pump
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])
        await self._disconnect()

    async def _work(self) -> None:
        failures = 0
        try:
            while self._jobs:
                batch = self._batch()
                if not batch:
                    continue
                try:
                    async with asyncio.timeout_at(min(job.until for job in batch)):
                        await self._exchange(batch)
                    failures = 0
                except Exception as error:  # noqa: BLE001 - whatever redis-py and the system raise
                    await self._disconnect()
                    failures += 1
                    if self._give_up(error):
                        await asyncio.sleep(pause(failures))
        except BaseException:
            # Half-read replies must not meet the next command.
            await self._disconnect()
            raise
        finally:
            self._pump = None
            for job in self._jobs:
                if not job.future.done():
                    closed = ConnectionError("the connection was closed")
                    job.future.set_exception(unreachable(self._address, closed))
            self._jobs.clear()

    def _batch(self) -> list[_Job]:
        """Return the next jobs, without those whose callers have left. They stay in the queue."""
        batch: list[_Job] = []
        size = 0
        while self._jobs and self._jobs[0].future.done():
            self._jobs.popleft()
        for job in self._jobs:
            size += job.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(job)
        return batch

    async def _exchange(self, batch: Sequence[_Job]) -> None:
        connection = await self._connected()
        commands = [words(command) for job in batch for command in job.commands]
        if commands:
            await connection.send_packed_command(
                connection.pack_commands(commands), check_health=False
            )
        for job in batch:
            replies = [await _reply(connection) for _ in job.commands]
            found = answer(replies, self._incarnation)
            self._jobs.popleft()
            if not job.future.done():
                job.future.set_result(found)

    def _give_up(self, error: Exception) -> bool:
        """Fail the jobs for which the error is the last word; tell whether any are left."""
        last_word = fatal(error)
        now = asyncio.get_running_loop().time()
        left = [job for job in self._jobs if not job.future.done()]
        for job in left:
            if last_word is not None:
                job.future.set_exception(last_word)
            elif now >= job.until:
                job.future.set_exception(unreachable(self._address, error))
        self._jobs = deque(job for job in left if not job.future.done())
        return bool(self._jobs)

    async def _connected(self) -> Any:  # noqa: ANN401 - one of redis-py's three classes
        if self._connection is None:
            connection = _new_connection(self._address)
            try:
                await connection.connect()
                await connection.send_packed_command(
                    connection.pack_commands(HANDSHAKE), check_health=False
                )
                self._incarnation = incarnation_of([await _reply(connection) for _ in HANDSHAKE])
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


async def _reply(connection: Any) -> Reply:  # noqa: ANN401
    from redis.exceptions import ResponseError

    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _new_connection(address: Address) -> Any:  # noqa: ANN401
    require_redis()
    from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

    classes: dict[str, Any] = {
        "redis": Connection,
        "rediss": SSLConnection,
        "unix": UnixDomainSocketConnection,
    }
    scheme, options = connection_options(address)
    return classes[scheme](**options, socket_timeout=None)


_links: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, Link]] = WeakKeyDictionary()


def link_to(address: Address) -> Link:
    """Return the running loop's connection to a server."""
    of_loop = _links.setdefault(asyncio.get_running_loop(), {})
    link = of_loop.get(address.identity)
    if link is None:
        link = of_loop[address.identity] = Link(address)
    return link


async def close_link(address: Address) -> None:
    """Close the running loop's connection to a server, if there is one."""
    link = _links.get(asyncio.get_running_loop(), {}).pop(address.identity, None)
    if link is not None:
        await link.aclose()
