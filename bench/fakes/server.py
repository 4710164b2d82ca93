"""HTTP/1.1 of the fake endpoint: one protocol, no task and no stream a request."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any, Protocol, cast

from httptools import HttpRequestParser

if TYPE_CHECKING:
    from bench.fakes.invocations import FakeLambda
    from bench.fakes.objects import FakeS3

# A burst of ten thousand connections overflows one listener's queue of at most 4,096, and each that
# is dropped comes again after a second. The kernel deals connections to all listeners on a port.
_LISTENERS = 8
BACKLOG = 4096
_CONTROL = b"/-/"
_INVOKE = b"/2015-03-31/functions/"
_ACCOUNT = b"/2016-08-19/account-settings"
_CONCURRENCY = b"/2019-09-30/functions/"
_KEPT_HEADERS = frozenset(
    (b"range", b"if-none-match", b"if-match", b"x-amz-invocation-type", b"content-encoding")
)
_PHRASES = {
    200: b"OK",
    202: b"Accepted",
    204: b"No Content",
    206: b"Partial Content",
    404: b"Not Found",
    412: b"Precondition Failed",
    416: b"Range Not Satisfiable",
    429: b"Too Many Requests",
}
_STS = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/bench"
    b"</Arn><UserId>AIDABENCH</UserId><Account>123456789012</Account></GetCallerIdentityResult>"
    b"<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)


class Reply(Protocol):
    """How an answer is sent: `headers` are whole lines, each ended."""

    def __call__(
        self, status: int, body: bytes | memoryview = b"", headers: bytes = b"", length: int = -1
    ) -> None: ...


class Service:
    """Deals requests to the fakes, and counts what there was of them."""

    def __init__(self, functions: FakeLambda, store: FakeS3) -> None:
        self.functions = functions
        self.store = store
        self.connections = 0
        self.handshakes = 0
        self.resumed = 0

    def answer(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], body: bytes, reply: Reply
    ) -> None:
        """Answer one request, at once or later."""
        if target.startswith(_INVOKE) and method == b"POST":
            self.functions.invoke(headers, body, reply)
        elif target.startswith(_CONTROL):
            self._control(target, body, reply)
        elif target.startswith(_INVOKE):
            name = target[len(_INVOKE) :].partition(b"/")[0].decode()
            self._json(reply, self.functions.describe(name))
        elif target.startswith(_ACCOUNT):
            limit = {"ConcurrentExecutions": 100_000, "UnreservedConcurrentExecutions": 100_000}
            self._json(reply, {"AccountLimit": limit, "AccountUsage": {"FunctionCount": 1}})
        elif target.startswith(_CONCURRENCY):
            self._json(reply, {})
        elif target == b"/" and b"GetCallerIdentity" in body:
            reply(200, _STS, b"content-type: text/xml\r\n")
        else:
            self.store.answer(method, target, headers, body, reply)

    def _control(self, target: bytes, body: bytes, reply: Reply) -> None:
        if target == b"/-/settings":
            self.functions.configure(json.loads(body))
        elif target == b"/-/reset":
            self.connections = self.handshakes = self.resumed = 0
            self.functions.reset()
            self.store.requests = self.store.written = 0
        counts = {
            "connections": self.connections,
            "handshakes": self.handshakes,
            "resumed": self.resumed,
            "objects": len(self.store),
            "object_bytes": self.store.written,
            "object_requests": self.store.requests,
            **self.functions.counts(),
        }
        self._json(reply, counts)

    def _json(self, reply: Reply, answer: dict[str, Any]) -> None:
        reply(200, json.dumps(answer).encode(), b"content-type: application/json\r\n")


class Connection(asyncio.Protocol):
    """One connection; requests are answered one after another."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = HttpRequestParser(self)
        self._counted = False
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._transport = cast("asyncio.Transport", None)  # until the connection is made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=1 << 30)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._body = []

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _KEPT_HEADERS:
            self._headers[name] = value
        elif name == b"expect":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if not self._counted and not self._target.startswith(_CONTROL):
            self._counted = True
            self._count()
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._service.answer(
            self._parser.get_method(), self._target, self._headers, body, self.reply
        )

    def _count(self) -> None:
        self._service.connections += 1
        tls = self._transport.get_extra_info("ssl_object")
        if tls is not None:
            self._service.handshakes += 1
            self._service.resumed += bool(tls.session_reused)

    def reply(
        self, status: int, body: bytes | memoryview = b"", headers: bytes = b"", length: int = -1
    ) -> None:
        """Send an answer; `length` is that of the object where HEAD sends no body."""
        size = len(body) if length < 0 else length
        head = b"HTTP/1.1 %d %s\r\nx-amzn-RequestId: bench\r\n%scontent-length: %d\r\n\r\n" % (
            status,
            _PHRASES.get(status, b"Status"),
            headers,
            size,
        )
        if len(body) > 65_536:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)


def listeners() -> list[socket.socket]:
    """Return sockets that listen on one free port of the loopback interface."""
    sockets: list[socket.socket] = []
    port = 0
    for _ in range(_LISTENERS if hasattr(socket, "SO_REUSEPORT") else 1):
        sock = socket.socket()
        if hasattr(socket, "SO_REUSEPORT"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen(BACKLOG)
        port = sock.getsockname()[1]
        sockets.append(sock)
    return sockets
