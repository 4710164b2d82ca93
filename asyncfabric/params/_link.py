"""The async connection: one for each event loop and server, used by all of the loop's tasks."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ._connecting import (
    HANDSHAKE,
    answer,
    fatal,
    incarnation_of,
    new_connection,
    note,
    pack,
    pause,
    require_redis,
    unreachable,
)
from ._steps import BATCH_BYTES, Answer, Only

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ._address import Address
    from ._errors import ServerUnreachable
    from ._steps import Command, Reply, Steps

T = TypeVar("T")

_QUEUE_BYTES: Final = 64 * 1024 * 1024
"""With so much waiting to be sent, callers wait to hand in more."""
_TRIES: Final = 3
_CLOSED: Final = "the connection was closed"


@dataclass(frozen=True, slots=True)
class _Job:
    packed: bytes
    replies: int
    incarnation: str | None  # that it is for, if it is for one only
    future: asyncio.Future[Answer]
    since: float  # the loop's time


class Link:
    """A connection whose commands leave in the order in which they were given, pipelined.

    No caller ever reads from the socket: one task does. A caller that is cancelled leaves, and the
    reply that it no longer waits for is read and dropped, so that nobody else gets it. A connection
    on which anything went wrong, or that is silent for a third of the address's patience, is
    discarded; what it had not answered goes out again on the next one, which is harmless for every
    command that is sent here.

    Attributes:
        users: which servers asked for it and haven't been closed yet.
        closed: whether it is of no more use.
    """

    def __init__(self, address: Address) -> None:
        require_redis()
        self.users: set[str] = set()
        self.closed = False
        self._address = address
        self._jobs: deque[_Job] = deque()
        self._bytes = 0  # in the queue
        self._room = asyncio.Event()
        self._answered = 0.0  # when the server last did, in the loop's time
        self._failures = 0  # since then
        self._pump: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._incarnation = ""
        self._end: AsyncGenerator[None] | None = None

    async def run(self, commands: Sequence[Command]) -> Answer:
        """Carry commands out.

        Raises `ServerUnreachable` when the server has answered nobody for the address's patience,
        and `TypeError` or `ValueError` at once for words that can't be sent.
        """
        if not commands and self._connection is not None:
            return Answer((), self._incarnation)
        return await (await self.begin(commands))

    async def begin(self, commands: Sequence[Command]) -> asyncio.Future[Answer]:
        """Hand commands in; what they are answered comes later. Raises what `run` does."""
        loop = asyncio.get_running_loop()
        only = commands.incarnation if isinstance(commands, Only) else None
        since = loop.time()
        while self._bytes >= _QUEUE_BYTES and not self.closed:
            self._room.clear()
            await self._room.wait()
        if self.closed:
            raise self._unreachable(ConnectionError(_CLOSED))
        packed = pack(commands)
        await self._prepare()
        job = _Job(packed, len(commands), only, loop.create_future(), since)
        self._jobs.append(job)
        self._bytes += len(packed)
        if self._pump is None:
            # In a context of its own: it goes on when the call that is first has ended.
            self._pump = loop.create_task(
                self._work(), name=f"asyncfabric-redis {self._address}", context=Context()
            )
        return job.future

    async def follow(self, steps: Steps[T], first: Answer | None = None) -> T:
        """Carry an operation out; `first` is the answer to what it asked before."""
        try:
            commands = next(steps) if first is None else steps.send(first)
            while True:
                commands = steps.send(await self.run(commands))
        except StopIteration as end:
            result: T = end.value
            return result

    async def aclose(self) -> None:
        """Disconnect; whoever still waits for an answer gets `ServerUnreachable`."""
        self.closed = True
        pump, self._pump = self._pump, None
        if pump is not None:
            pump.cancel()
            await asyncio.wait([pump])
        self._fail(ConnectionError(_CLOSED))
        end, self._end = self._end, None
        if end is not None:
            await end.aclose()
        await self._disconnect()

    async def _prepare(self) -> None:
        """See to it that the connection ends with the loop, which ends its generators."""
        if self._end is None:
            self._end = self._until_the_end()
            await anext(self._end)

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.closed = True
            self._fail(ConnectionError(_CLOSED))
            await self._disconnect()
            _forget(self)

    async def _work(self) -> None:
        try:
            while self._jobs:
                batch = self._batch()
                if not batch:
                    continue
                try:
                    await self._exchange(batch)
                except Exception as error:  # noqa: BLE001 - whatever redis-py and the system raise
                    await self._disconnect()
                    self._failures += 1
                    note(self._address, error, self._failures)
                    if self._give_up(error):
                        await asyncio.sleep(min(pause(self._failures), self._left()))
        except BaseException:
            # Half-read replies must not meet the next command.
            await self._disconnect()
            self._fail(ConnectionError(_CLOSED))
            raise
        finally:
            self._pump = None

    def _batch(self) -> list[_Job]:
        """Return the next jobs, without those whose callers have left. They stay in the queue."""
        batch: list[_Job] = []
        size = 0
        while self._jobs and self._jobs[0].future.done():
            self._leave()
        for job in self._jobs:
            size += len(job.packed)
            if batch and size > BATCH_BYTES:
                break
            batch.append(job)
        return batch

    def _leave(self) -> _Job:
        job = self._jobs.popleft()
        self._bytes -= len(job.packed)
        self._room.set()
        return job

    async def _exchange(self, batch: Sequence[_Job]) -> None:
        loop = asyncio.get_running_loop()
        silence = self._address.silence
        async with asyncio.timeout(silence) as patience:
            connection = await self._connected()
            sent = [job.incarnation in (None, self._incarnation) for job in batch]
            packed = [job.packed for job, goes in zip(batch, sent, strict=True) if goes]
            await connection.send_packed_command(packed, check_health=False)
            for job, goes in zip(batch, sent, strict=True):
                replies: list[Reply] = []
                for _ in range(job.replies if goes else 0):
                    replies.append(await _reply(connection))
                    self._answered = loop.time()
                    self._failures = 0
                    patience.reschedule(self._answered + silence)
                found = answer(replies, self._incarnation)
                self._leave()
                if not job.future.done():
                    job.future.set_result(found)

    def _until(self, job: _Job) -> float:
        return max(job.since, self._answered) + self._address.patience

    def _left(self) -> float:
        now = asyncio.get_running_loop().time()
        return max(0.0, min(self._until(job) for job in self._jobs) - now)

    def _give_up(self, error: Exception) -> bool:
        """Fail the jobs for which the error is the last word; tell whether any are left."""
        now = asyncio.get_running_loop().time()
        for _ in range(len(self._jobs)):
            job = self._leave()
            if job.future.done():
                continue
            if (last_word := fatal(error)) is not None:
                job.future.set_exception(last_word)
            # Several tries: the time may have passed in a loop that was held up by something else.
            elif now >= self._until(job) and self._failures >= _TRIES:
                job.future.set_exception(self._unreachable(error))
            else:
                self._jobs.append(job)
                self._bytes += len(job.packed)
        return bool(self._jobs)

    def _fail(self, error: BaseException) -> None:
        while self._jobs:
            job = self._leave()
            # A loop that has been closed has nobody left who waits.
            if not job.future.done() and not job.future.get_loop().is_closed():
                job.future.set_exception(self._unreachable(error))
        self._room.set()

    def _unreachable(self, error: BaseException) -> ServerUnreachable:
        found = unreachable(self._address, error)
        found.__cause__ = error
        return found

    async def _connected(self) -> Any:  # noqa: ANN401 - one of redis-py's three classes
        if self._connection is None:
            connection = _new_connection(self._address)
            try:
                await connection.connect()
                await connection.send_packed_command([pack(HANDSHAKE)], check_health=False)
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
    from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

    classes: dict[str, Any] = {
        "redis": Connection,
        "rediss": SSLConnection,
        "unix": UnixDomainSocketConnection,
    }
    return new_connection(classes, address, socket_timeout=None)


_links: dict[asyncio.AbstractEventLoop, dict[str, Link]] = {}


def link_to(address: Address, user: str) -> Link:
    """Return the running loop's connection to a server, and note that `user` uses it."""
    loop = asyncio.get_running_loop()
    for closed in [each for each in _links if each.is_closed()]:
        del _links[closed]
    of_loop = _links.setdefault(loop, {})
    link = of_loop.get(address.identity)
    if link is None:
        link = of_loop[address.identity] = Link(address)
    link.users.add(user)
    return link


async def close_link(address: Address, user: str) -> None:
    """Close the running loop's connection to a server unless somebody else uses it too."""
    link = _links.get(asyncio.get_running_loop(), {}).get(address.identity)
    if link is not None and user in link.users:
        link.users.discard(user)
        if not link.users:
            _forget(link)
            await link.aclose()


def _forget(link: Link) -> None:
    for loop, of_loop in [*_links.items()]:
        for identity, each in [*of_loop.items()]:
            if each is link:
                del of_loop[identity]
        if not of_loop:
            del _links[loop]
