"""What a transport takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

BODY_LIMIT = 9 * 1024 * 1024
"""Bytes that a reply may have: Lambda's 6 MB, with room for the escapes of JSON."""
HEAD_LIMIT = 64 * 1024
"""Bytes that the headers of a reply may have."""

Why: TypeAlias = Literal[
    "closed",  # the transport was closed
    "connect",  # no connection: refused, unreachable, too slow
    "credentials",  # there are none to sign with
    "dns",  # the host has no address, now
    "lost",  # the connection ended before the reply did
    "malformed",  # what came is no HTTP
    "nowhere",  # there is no such host
    "oversized",  # the reply is larger than any of Lambda's
    "tls",  # no trust, or no TLS at all
    "timeout",  # no reply in time
]


class Request(NamedTuple):
    """One invocation.

    The payload must not be changed before the answer is there. `seconds` is how long the answer
    may take once the request is being sent; it is looked at every half second. An `event` is
    answered as soon as Lambda has taken it; `tail` is for others only.
    """

    function: str
    payload: bytes | bytearray
    tail: bool
    seconds: float
    event: bool = False


class Reply:
    """What came back; header names are in lower case."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes | bytearray) -> None:
        self.status: int = status
        self.headers: dict[str, str] = headers
        self.body: bytes | bytearray = body

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {len(self.body)} bytes>"


class Unanswered(Exception):
    """No reply came.

    Args:
        message: what happened, without advice.
        written: True: the request may have arrived and run. False: it certainly did not.
        why: the kind of it.
    """

    def __init__(self, message: str, *, written: bool, why: Why) -> None:
        super().__init__(message)
        self.written = written
        self.why: Why = why


Done: TypeAlias = Callable[[Reply | Unanswered], None]


class Transport(Protocol):
    """Sends invocations."""

    def invoke(self, request: Request, done: Done) -> None:
        """Send one, and call `done` exactly once: later, and in the loop. Never raises."""
        ...

    async def aclose(self) -> None:
        """Close every connection. Whoever still waits is told `Unanswered`."""
        ...
