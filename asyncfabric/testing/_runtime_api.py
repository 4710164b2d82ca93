"""The Runtime API, which Lambda's runtime client in a worker asks for work.

A few hundred requests a second come over one connection from one known client (awslambdaric's
libcurl), so a protocol of callbacks serves them: a web framework takes five times as long.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

_ROOT = "/2018-06-01/runtime/"
_MAX_HEAD = 4 * 1024 * 1024  # a client may send a stack trace of 1 MiB in a header


class Answer(NamedTuple):
    """What the Runtime API answers to a worker."""

    status: HTTPStatus
    body: bytes


ACCEPTED = Answer(HTTPStatus.ACCEPTED, b'{"status":"OK"}\n')
FORBIDDEN = Answer(
    HTTPStatus.FORBIDDEN,
    b'{"errorMessage":"State transition is not allowed","errorType":"InvalidStateTransition"}',
)
UNKNOWN_ID = Answer(
    HTTPStatus.BAD_REQUEST,
    b'{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}',
)
_NO_SUCH_PAGE = Answer(HTTPStatus.NOT_FOUND, b"404 page not found\n")


class Runtime(Protocol):
    """Whom a worker asks: see `Environment`."""

    def on_next(self, connection: RuntimeConnection) -> None:
        """Give the worker its next invocation, now or when there is one."""
        ...

    def on_answer(self, request_id: str, body: bytes, *, failed: bool) -> Answer:
        """Take what the function returned, or (`failed`) how it failed."""
        ...

    def on_init_error(self, body: bytes) -> Answer:
        """Take why the worker can't start."""
        ...

    def on_hangup(self, connection: RuntimeConnection) -> None:
        """Know that the worker has closed the connection."""
        ...


class RuntimeConnection(asyncio.Protocol):
    """One connection of a worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._needed = 0  # bytes of the request at hand; 0 while its head isn't complete
        self._head = ""
        self._body_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Serve the requests that are complete."""
        self._received += data
        while self._complete():
            body = bytes(memoryview(self._received)[self._body_at : self._needed])
            del self._received[: self._needed]
            self._needed = 0
            method, path, _ = self._head.split("\r\n", 1)[0].split(" ", 2)
            answer = self._serve(method, path, body)
            if answer is not None:
                self.send(answer)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End."""
        self._transport = None
        self._runtime.on_hangup(self)

    def send(self, answer: Answer, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer the request at hand."""
        if self._transport is None:
            return
        head = [f"HTTP/1.1 {answer.status} {answer.status.phrase}"]
        head += ["Content-Type: application/json", f"Content-Length: {len(answer.body)}"]
        head += [f"{name}: {value}" for name, value in headers]
        self._transport.writelines((("\r\n".join(head) + "\r\n\r\n").encode(), answer.body))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _complete(self) -> bool:
        """Whether a whole request was received; looks for the end of its head only once."""
        if not self._needed:
            at = self._received.find(b"\r\n\r\n")
            if at < 0:
                if len(self._received) > _MAX_HEAD:
                    self.close()
                return False
            self._head = self._received[:at].decode("latin-1")
            self._body_at = at + 4
            self._needed = self._body_at + self._length()
        return len(self._received) >= self._needed

    def _length(self) -> int:
        for line in self._head.split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                return int(value)
        return 0

    def _serve(self, method: str, path: str, body: bytes) -> Answer | None:
        if not path.startswith(_ROOT):
            return _NO_SUCH_PAGE
        parts = path.removeprefix(_ROOT).split("/")
        if method == "GET" and parts == ["invocation", "next"]:
            self._runtime.on_next(self)
            return None
        if method == "POST" and parts == ["init", "error"]:
            return self._runtime.on_init_error(body)
        match parts:
            case ["invocation", request_id, "response" | "error" as kind] if method == "POST":
                return self._runtime.on_answer(request_id, body, failed=kind == "error")
            case _:
                return _NO_SUCH_PAGE
