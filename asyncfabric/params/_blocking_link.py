"""The blocking connection, for plain functions: one for each process and server."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

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
from ._steps import Answer, Only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._address import Address
    from ._steps import Command, Reply, Steps

T = TypeVar("T")


class Sent:
    """Commands on their way.

    Attributes:
        answer: what was replied, once it was read.
        wanted: whether somebody will ask for it; else it isn't sent again.
    """

    __slots__ = ("answer", "commands", "on", "packed", "wanted")

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.packed = pack(commands)
        self.answer: Answer | None = None
        self.on: object = None  # the connection they went out on
        self.wanted = True


class BlockingLink:
    """A connection that one thread uses at a time; replies come in the order of what was sent.

    Whatever interrupts a command, a timeout of the call included, discards the connection: the
    reply that is still to come can't meet the next command. What was sent and is still wanted goes
    out again on the next one, which is harmless for every command that is sent here.

    Attributes:
        users: which servers asked for it and haven't been closed yet.
    """

    def __init__(self, address: Address) -> None:
        require_redis()
        self.users: set[str] = set()
        self._address = address
        self._lock = threading.Lock()
        self._sent: deque[Sent] = deque()  # and not answered yet
        self._connection: Any = None
        # Set before the connection is used and taken back afterwards: whatever interrupts its use,
        # a signal while that is being seen to included, the next user finds it so.
        self._busy = False
        self._incarnation = ""

    def run(self, commands: Sequence[Command]) -> Answer:
        """Carry commands out; raises `ServerUnreachable` when the address's patience is over."""
        return self.end(Sent(commands))

    def follow(self, steps: Steps[T], first: Answer | None = None) -> T:
        """Carry an operation out; `first` is the answer to what it asked before."""
        try:
            commands = next(steps) if first is None else steps.send(first)
            while True:
                commands = steps.send(self.run(commands))
        except StopIteration as end:
            result: T = end.value
            return result

    def begin(self, commands: Sequence[Command]) -> Sent:
        """Send commands, for `end` to wait for; what goes wrong with them is `end`'s to mend."""
        sent = Sent(commands)
        with self._lock:
            try:
                self._sent.append(sent)
                self._send(sent, self._ready())
                self._busy = False
            except Exception:  # noqa: BLE001 - whatever redis-py and the system raise
                self._disconnect()
            except BaseException:
                self._leave(sent)
                raise
        return sent

    def end(self, sent: Sent) -> Answer:
        """Wait for the answer; raises `ServerUnreachable` as `run` does."""
        until = time.monotonic() + self._address.patience
        failures = 0
        with self._lock:
            while True:
                try:
                    return self._exchange(sent)
                except Exception as error:
                    self._disconnect()
                    failures += 1
                    if (last_word := fatal(error)) is not None:
                        self._leave(sent)
                        raise last_word from None
                    note(self._address, error, failures)
                    left = until - time.monotonic()
                    if left <= 0:
                        self._leave(sent)
                        raise unreachable(self._address, error) from error
                    time.sleep(min(pause(failures), left))
                except BaseException:
                    self._leave(sent)
                    raise

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._disconnect()

    def _exchange(self, sent: Sent) -> Answer:
        if sent.answer is None and sent not in self._sent:
            self._sent.append(sent)
        while sent.answer is None:
            connection = self._ready()
            for each in self._sent:
                self._send(each, connection)
            first = self._sent[0]
            first.answer = self._answer(first, connection)
            self._sent.popleft()
            self._busy = False
        return sent.answer

    def _send(self, sent: Sent, connection: Any) -> None:  # noqa: ANN401
        if sent.on is not connection:
            goes = not isinstance(sent.commands, Only) or (
                sent.commands.incarnation == self._incarnation
            )
            if goes and sent.commands:
                connection.send_packed_command([sent.packed], check_health=False)
            sent.on = connection if goes else None

    def _answer(self, sent: Sent, connection: Any) -> Answer:  # noqa: ANN401
        if sent.on is None:  # it is for another incarnation
            return Answer((), self._incarnation)
        replies = [_reply(connection) for _ in sent.commands]
        return answer(replies, self._incarnation)

    def _ready(self) -> Any:  # noqa: ANN401 - one of redis-py's three classes
        """Return the connection, busy until its user says that nothing is under way on it."""
        if self._busy:
            self._disconnect()
        self._busy = True
        if self._connection is None:
            self._sent = deque(each for each in self._sent if each.wanted)
            self._connection = _new_connection(self._address)
            self._connection.connect()
            self._connection.send_packed_command([pack(HANDSHAKE)], check_health=False)
            self._incarnation = incarnation_of([_reply(self._connection) for _ in HANDSHAKE])
        return self._connection

    def _leave(self, sent: Sent) -> None:
        sent.wanted = False
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


def _reply(connection: Any) -> Reply:  # noqa: ANN401
    from redis.exceptions import ResponseError

    try:
        return connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _new_connection(address: Address) -> Any:  # noqa: ANN401
    from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

    classes: dict[str, Any] = {
        "redis": Connection,
        "rediss": SSLConnection,
        "unix": UnixDomainSocketConnection,
    }
    return new_connection(classes, address, socket_timeout=address.silence)


_links: dict[tuple[int, str], BlockingLink] = {}


def blocking_link_to(address: Address, user: str) -> BlockingLink:
    """Return this process's connection to a server, and note that `user` uses it.

    A forked process has its own.
    """
    key = os.getpid(), address.identity
    link = _links.get(key) or _links.setdefault(key, BlockingLink(address))
    link.users.add(user)
    return link


def close_blocking_link(address: Address, user: str) -> None:
    """Close this process's connection to a server unless somebody else uses it too."""
    key = os.getpid(), address.identity
    link = _links.get(key)
    if link is not None and user in link.users:
        link.users.discard(user)
        if not link.users:
            _links.pop(key, None)
            link.close()
