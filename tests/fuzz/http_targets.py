"""Replies of HTTP, and what of AWS's is in them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from asyncfabric._exceptions import FabricError
from asyncfabric.aws._errors import diagnose
from asyncfabric.aws.transport import Reply, Unanswered
from asyncfabric.aws.transport._protocol import BODY_LIMIT, HEAD_LIMIT
from asyncfabric.aws.transport._reader import Reader
from asyncfabric.backends.aws_lambda._payload import from_body, to_payload
from asyncfabric_runtime import WireError
from asyncfabric_storage._s3_answers import read_answer

from .drawn import Drawn
from .guard import nothing_is_unpickled
from .wire_targets import frames

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Amzn-RequestId: id-1\r\n\r\n"
CHUNKED = (
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n"one\r\n3;x=y\r\ntwo\r\n'
    b'1\r\n"\r\n0\r\nTrailer: 1\r\n\r\n'
)
REFUSED = (
    b"HTTP/1.0 429 No\r\nRetry-After: 3\r\nConnection: keep-alive\r\nContent-Length: 17\r\n\r\n"
    b'{"Reason":"none"}'
)
REPLIES = [
    OK + b'"ok"',
    CHUNKED,
    REFUSED,
    b"HTTP/1.1 200 OK\r\n\r\nto the end",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n" + OK + b'"ok"',
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfourHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
]
ERRORS = [
    b'{"Type":"User","message":"no","Reason":"ConcurrentInvocationLimitExceeded"}',
    b'{"errorType":"Runtime.ExitError","errorMessage":"RequestId: x Error: signal: killed"}',
    b'{"errorMessage":"Task timed out after 3.00 seconds","stackTrace":["a","b"]}',
    b'{"asyncfabric":"refused","reason":"old","wire":1,"python":"3.11"}',
    b'{"retryAfterSeconds":"3","__type":"com.amazonaws#ThrottlingException:http://x/"}',
    b"<html>hello</html>",
]
PRECONDITION = (
    "Client error with status code: 412 Precondition Failed: <Error><Code>PreconditionFailed</Code>"
    "<ActualObjectSize>17</ActualObjectSize></Error>\n\nDebug source:\nX"
)
REFUSALS = [
    PRECONDITION,
    "Generic S3 error: HTTP error: error sending request, kind: Connect",
    "Server error with status code: 503 Slow Down: <Code>SlowDown</Code>",
]


def _read(pieces: list[bytes]) -> tuple[Any, ...]:
    """Return what a fresh reader makes of a stream that ends after these pieces."""
    reader = Reader()
    complete = False
    try:
        for piece in pieces:
            if complete := reader.feed(piece):
                break
    except Unanswered as problem:
        return "unanswered", problem.why, problem.written, reader.complete
    at_once = complete
    if not complete and not (complete := reader.end()):
        return "lost", ""
    reply = reader.take()
    assert len(reply.body) <= BODY_LIMIT
    assert sum(map(len, reply.headers.values())) <= HEAD_LIMIT
    assert not reader.complete
    return reply.status, reply.headers, bytes(reply.body), at_once


def http(data: bytes) -> None:
    """A stream from a server: one reply or one refusal, however it is cut into pieces."""
    drawn = Drawn(data)
    cuts = sorted({1 + drawn.byte() for _ in range(drawn.below(5))})
    stream = drawn.rest()
    whole = _read([stream] if stream else [])
    assert whole[0] != "unanswered" or whole[2:] == (True, False)
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert _read([piece for piece in pieces if piece]) == whole
    if len(stream) < 2000:
        assert _read([bytes([each]) for each in stream]) == whole


def reply(data: bytes) -> None:
    """A reply of Lambda, or of what is taken for it: an answer or a fault, never an exception."""
    drawn = Drawn(data)
    headers = {
        name: drawn.choice(["", "3", "1e999", "id", "x#A:http://b", "T25l", repr(drawn.plain(0))])
        for name in (
            "x-amz-function-error",
            "x-amzn-errortype",
            "retry-after",
            "x-amz-log-result",
            "x-amzn-requestid",
        )
        if drawn.below(3) == 0
    }
    status = drawn.choice([200, 200, 202, 400, 403, 404, 413, 429, 500, 502, 504, 599, 302])
    body = drawn.rest()
    fault = diagnose(
        Reply(status, headers, body), function="name", region="eu-west-1", endpoint="https://x"
    )
    assert fault is None or isinstance(fault.error, FabricError)
    with nothing_is_unpickled(), suppress(FabricError, WireError):
        from_body(body, "name", "asyncfabric deploy")


def refusal(data: bytes) -> None:
    """What obstore says of S3's answers: always read as some answer."""
    text = data.decode("utf-8", "replace")
    for error in (Exception(text), FileNotFoundError(text), TimeoutError(text)):
        answer = read_answer(error)
        assert answer.size is None or 0 <= answer.size < 2**63
        assert 0 <= answer.status <= 999


def bodies() -> list[bytes]:
    """Return bodies of valid replies."""
    prefix = bytes(16)  # no headers, status 200
    return [prefix + body for body in [*ERRORS, *(bytes(to_payload([f])) for f in frames())]]
