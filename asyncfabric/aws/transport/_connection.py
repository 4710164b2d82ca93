"""One keep-alive connection: a request goes out, its reply comes back."""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import TYPE_CHECKING, Protocol, cast

from ._protocol import Unanswered

if TYPE_CHECKING:
    from ._protocol import Done, Reply, Why
    from ._reader import Reader

_WHOLE = 64 * 1024
"""A payload of up to so many bytes is joined with its head: one system call."""
_PIECE = 256 * 1024
"""Larger ones go out in pieces of so many, as fast as the server takes them."""


class Owner(Protocol):
    """To whom a connection belongs; see `Pool`."""

    loop: asyncio.AbstractEventLoop

    def borrow(self) -> Reader:
        """Return a reader that is not in use."""
        ...

    def give_back(self, reader: Reader) -> None:
        """Take a reader that is done with."""
        ...

    def on_free(self, connection: Connection) -> None:
        """Know that the connection may carry the next request."""
        ...

    def on_end(self, connection: Connection) -> None:
        """Know that the connection is of no use any more."""
        ...


class Connection(asyncio.Protocol):
    """A connection of a pool. It carries one request at a time."""

    __slots__ = (
        "_done",
        "_owner",
        "_paused",
        "_reader",
        "_rest",
        "_sock",
        "_transport",
        "deadline",
        "ended",
        "idle_since",
    )

    def __init__(self, owner: Owner, sock: socket.socket) -> None:
        self._owner = owner
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._reader: Reader | None = None
        self._done: Done | None = None
        self._rest: memoryview | None = None  # of a large payload, what isn't handed over yet
        self._paused = False
        self.ended = False
        self.deadline = inf
        self.idle_since = inf

    # -- called by the pool ---------------------------------------------------------------------

    def send(self, head: bytes, payload: bytes | bytearray, done: Done, deadline: float) -> None:
        """Send a request; `done` is called with its reply."""
        transport = self._transport
        assert transport is not None  # noqa: S101 - it is made before it is used
        self._done = done
        self.deadline = deadline
        if len(payload) <= _WHOLE:
            transport.write(head + payload)
        else:
            self._rest = memoryview(payload)
            transport.write(head)
            self._push()

    def usable(self, *, doubtful: bool) -> bool:
        """Tell whether an idle connection is still good; if it is doubtful, ask the system.

        The loop may not have been told yet that the server hung up. Asked before anything is
        written, there is no doubt that another connection may be used instead.
        """
        transport = self._transport
        if self.ended or transport is None or transport.is_closing():
            return False
        if not doubtful:
            return True
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        return False  # the end, or bytes that nobody asked for

    def overdue(self) -> None:
        """Give up waiting for the reply."""
        self._fail("no reply came within the time limit", "timeout")

    def close(self) -> None:
        """Close, telling whoever waits that it was on purpose."""
        self._fail("the transport was closed", "closed")

    # -- called by the loop ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """Read the reply."""
        if self._done is None:
            self._end()  # nobody asked: such as a reply 408 to a connection that was idle too long
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = self._owner.borrow()
        try:
            complete = reader.feed(data)
        except Unanswered as problem:
            self._answer(problem, reusable=False)
        else:
            if complete:
                # A server that answers before it has read all will not read the rest.
                self._answer(reader.take(), reusable=reader.reusable and self._rest is None)

    def eof_received(self) -> None:
        """Know that the server sends no more."""
        self._lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Know that the connection is gone."""
        self._lost(exc)

    def pause_writing(self) -> None:
        """Stop handing over: the server is slow to read."""
        self._paused = True

    def resume_writing(self) -> None:
        """Hand over more."""
        self._paused = False
        self._push()

    # -- within ---------------------------------------------------------------------------------

    def _push(self) -> None:
        transport = self._transport
        while transport is not None and self._rest is not None and not self._paused:
            piece, self._rest = self._rest[:_PIECE], self._rest[_PIECE:] or None
            transport.write(piece)

    def _lost(self, error: Exception | None) -> None:
        reader = self._reader
        # A reset is no end: of a reply without a length, more may have been to come.
        if reader is not None and error is None and reader.end():
            self._answer(reader.take(), reusable=False)
            return
        begun = "in the middle of" if reader is not None else "before"
        what = f"the connection ended {begun} the reply" + (f" ({error})" if error else "")
        self._fail(what, "lost", error)

    def _fail(self, message: str, why: Why, cause: Exception | None = None) -> None:
        if self._done is None:
            self._end()
            return
        # A request of which a part was never sent can't have run.
        written = self._rest is None or self._reader is not None
        problem = Unanswered(message, written=written, why=why)
        problem.__cause__ = cause
        self._answer(problem, reusable=False)

    def _answer(self, answer: Reply | Unanswered, *, reusable: bool) -> None:
        done, self._done = self._done, None
        reader, self._reader = self._reader, None
        self.deadline = inf
        if reusable and reader is not None:
            self._owner.give_back(reader)
            self._owner.on_free(self)
        else:
            self._end()
        if done is not None:
            tell(self._owner.loop, done, answer)

    def _end(self) -> None:
        if self.ended:
            return
        self.ended = True
        self._rest = None
        self._reader = None
        # Not close(): that waits until the server has read all and, with TLS, said goodbye.
        if self._transport is not None:
            self._transport.abort()
        self._owner.on_end(self)


def tell(loop: asyncio.AbstractEventLoop, done: Done, answer: Reply | Unanswered) -> None:
    """Call `done`. What it raises is the program's error, not the connection's."""
    try:
        done(answer)
    except Exception as error:  # noqa: BLE001 - reported, as the loop reports those of callbacks
        loop.call_exception_handler(
            {"message": f"{done!r} failed with an answer", "exception": error}
        )
