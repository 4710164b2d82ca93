"""The blocking connection, for plain functions: one for each process and server."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

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
from ._steps import Answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._address import Address
    from ._steps import Command, Reply


class BlockingLink:
    """A connection that one thread uses at a time.

    Whatever interrupts a command, a timeout of the call included, discards the connection: the
    reply that is still to come can't meet the next command.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._connection: Any = None
        self._incarnation = ""

    def run(self, commands: Sequence[Command]) -> Answer:
        """Carry commands out; raises `ServerUnreachable` when the address's patience is over."""
        until = time.monotonic() + self._address.patience
        failures = 0
        with self._lock:
            while True:
                try:
                    return self._exchange(commands)
                except Exception as error:
                    self._disconnect()
                    failures += 1
                    if (last_word := fatal(error)) is not None:
                        raise last_word from None
                    wait = pause(failures)
                    if time.monotonic() + wait >= until:
                        raise unreachable(self._address, error) from error
                    time.sleep(wait)
                except BaseException:
                    self._disconnect()
                    raise

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            self._disconnect()

    def _exchange(self, commands: Sequence[Command]) -> Answer:
        connection = self._connected()
        if not commands:
            return Answer((), self._incarnation)
        packed = connection.pack_commands([words(command) for command in commands])
        connection.send_packed_command(packed, check_health=False)
        replies = [_reply(connection) for _ in commands]
        return answer(replies, self._incarnation)

    def _connected(self) -> Any:  # noqa: ANN401 - one of redis-py's three classes
        if self._connection is None:
            connection = _new_connection(self._address)
            try:
                connection.connect()
                connection.send_packed_command(
                    connection.pack_commands(HANDSHAKE), check_health=False
                )
                self._incarnation = incarnation_of([_reply(connection) for _ in HANDSHAKE])
            except BaseException:
                connection.disconnect()
                raise
            self._connection = connection
        return self._connection

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
    require_redis()
    from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

    classes: dict[str, Any] = {
        "redis": Connection,
        "rediss": SSLConnection,
        "unix": UnixDomainSocketConnection,
    }
    scheme, options = connection_options(address)
    return classes[scheme](**options, socket_timeout=address.patience)


_links: dict[tuple[int, str], BlockingLink] = {}


def blocking_link_to(address: Address) -> BlockingLink:
    """Return this process's connection to a server. A forked process has its own."""
    return _links.setdefault((os.getpid(), address.identity), BlockingLink(address))


def close_blocking_link(address: Address) -> None:
    """Close this process's connection to a server, if there is one."""
    link = _links.pop((os.getpid(), address.identity), None)
    if link is not None:
        link.close()
