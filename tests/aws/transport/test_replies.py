"""What both transports make of what a server sends."""

import asyncio

import pytest

from asyncfabric.aws.transport import Reply
from asyncfabric.aws.transport._protocol import BODY_LIMIT

from .conftest import Connect
from .scripted import OK, Peer, Script, Scripted

pytestmark = pytest.mark.every_loop

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def answering(*pieces: bytes) -> Script:
    """Answer every request with these pieces."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(*pieces)

    return script


def once(*pieces: bytes) -> Script:
    """Answer one request with these pieces, then hang up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)

    return script


async def test_a_request_and_its_reply(connect: Connect) -> None:
    reply = HEAD + b"Content-Length: 4\r\nX-Amzn-RequestId: id-1\r\nEmpty:\r\n\r\n" + b'"ok"'
    async with Scripted(answering(reply)) as server:
        client = await connect(server.url)
        answer = await client.ask(b'"in"', function="name:live", tail=True)
        assert isinstance(answer, Reply)
        assert (answer.status, bytes(answer.body)) == (200, b'"ok"')
        assert answer.headers["x-amzn-requestid"] == "id-1"
        assert answer.headers["empty"] == ""
        (got,) = server.requests
    assert got.line == "POST /2015-03-31/functions/name%3Alive/invocations HTTP/1.1"
    assert got.body == b'"in"'
    assert got.headers["x-amz-invocation-type"] == "RequestResponse"
    assert got.headers["x-amz-log-type"] == "Tail"
    assert got.headers["x-amz-security-token"] == "token+/="
    assert got.headers["host"] == server.url.removeprefix("http://")
    authorization = got.headers["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert "/eu-west-1/lambda/aws4_request, SignedHeaders=" in authorization


async def test_an_event_and_its_reply(connect: Connect) -> None:
    taken = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    async with Scripted(answering(taken)) as server:
        client = await connect(server.url)
        for _ in range(2):  # on one connection
            answer = await client.ask(b'"in"', event=True)
            assert isinstance(answer, Reply)
            assert (answer.status, bytes(answer.body)) == (202, b"")
        assert {got.headers["x-amz-invocation-type"] for got in server.requests} == {"Event"}


async def test_the_log_is_not_asked_for_by_itself(connect: Connect) -> None:
    async with Scripted(answering(OK)) as server:
        await (await connect(server.url)).reply()
        assert "x-amz-log-type" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        pytest.param([bytes([each]) for each in OK], b'"ok"', id="byte by byte"),
        pytest.param(
            [CHUNKED, b'4\r\n"one\r\n3;x=y\r\n', b'two\r\n1\r\n"\r\n0\r\n\r\n'],
            b'"onetwo"',
            id="chunked",
        ),
        pytest.param(
            [CHUNKED + b"2\r\n{}\r\n0\r\nTrailer: 1\r\n\r\n"],
            b"{}",
            id="chunked with a trailer",
        ),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", OK], b'"ok"', id="100"),
        pytest.param(
            [b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + OK],
            b'"ok"',
            id="102, 103",
        ),
        pytest.param([b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}"], b"{}", id="no reason"),
        pytest.param([HEAD + b"Content-Length: 0\r\n\r\n"], b"", id="empty"),
    ],
)  # fmt: skip
async def test_forms_of_replies(connect: Connect, pieces: list[bytes], body: bytes) -> None:
    async with Scripted(answering(*pieces)) as server:
        client = await connect(server.url)
        for _ in range(3):
            reply = await client.reply()
            assert (reply.status, bytes(reply.body)) == (200, body)
        assert server.connections == 1
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (HEAD, True),
        (HEAD + b"Connection: keep-alive\r\n", True),
        (HEAD + b"Connection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
    ],
)
async def test_connections_are_kept_as_the_server_says(
    connect: Connect, head: bytes, kept: bool
) -> None:
    async with Scripted(answering(head + b"Content-Length: 2\r\n\r\n{}")) as server:
        client = await connect(server.url)
        for _ in range(3):
            await client.reply()
        assert server.connections == (1 if kept else 3)


async def test_a_reply_that_ends_with_the_connection(connect: Connect) -> None:
    async with Scripted(once(HEAD + b'\r\n"some', b'thing"')) as server:
        client = await connect(server.url)
        for _ in range(2):
            assert bytes((await client.reply()).body) == b'"something"'
        assert server.connections == 2


@pytest.mark.parametrize("status", [400, 403, 404, 408, 409, 413, 429, 500, 502, 503, 504])
async def test_refusals_come_as_they_are_and_once(connect: Connect, status: int) -> None:
    body = b'{"Type":"User","message":"no","Reason":"because"}'
    head = (
        f"HTTP/1.1 {status} No\r\nX-Amzn-ErrorType: SomeException:http://x/\r\n"
        f"Retry-After: 3\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with Scripted(answering(head.encode() + body)) as server:
        reply = await (await connect(server.url)).reply()
        assert (reply.status, bytes(reply.body)) == (status, body)
        assert reply.headers["x-amzn-errortype"] == "SomeException:http://x/"
        assert reply.headers["retry-after"] == "3"
        assert len(server.requests) == 1  # the SDK's own retries would run a function again


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"\xff\xfe"])
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_bodies_that_are_no_json_come_as_they_are(
    connect: Connect, status: int, body: bytes
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
    async with Scripted(answering(head.encode() + body)) as server:
        reply = await (await connect(server.url)).reply()
        assert (reply.status, bytes(reply.body)) == (status, body)


async def test_large_payloads_and_replies(connect: Connect) -> None:
    size = 6 * 1024 * 1024
    body = b'"' + b"r" * size + b'"'
    head = HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode()
    async with Scripted(answering(head, body)) as server:
        client = await connect(server.url)
        for payload in (b"p" * size, bytearray(b"q" * size), b"s" * 70_000):
            assert (await client.reply(payload)).body == body
        assert [got.body for got in server.requests] == [b"p" * size, b"q" * size, b"s" * 70_000]
        assert server.connections == 1


async def test_a_slow_reader(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        _, headers = await peer.head()
        left = int(headers["content-length"])
        while left:  # the client can't send faster than this
            left -= len(await peer.read(min(left, 50_000)))
            await asyncio.sleep(0)
        await peer.send(OK)

    async with Scripted(script) as server:
        client = await connect(server.url)
        answers = [client.ask(bytearray(4_000_000), seconds=600) for _ in range(4)]
        assert [isinstance(await each, Reply) for each in answers] == [True] * 4


# no reply


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="nothing"),
        pytest.param([b"HTTP/1.1 20"], id="half a line"),
        pytest.param([HEAD + b"Content-"], id="half a head"),
        pytest.param([HEAD + b"Content-Length: 10\r\n\r\n", b'"hal'], id="half a body"),
        pytest.param([CHUNKED + b"5\r\nhal"], id="half a chunk"),
        pytest.param([CHUNKED + b"4\r\nhalf\r\n"], id="no last chunk"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n"], id="only 100"),
    ],
)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_reply_cut_short_may_have_run(
    connect: Connect, pieces: list[bytes], reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces)
        if reset:
            peer.reset()

    async with Scripted(script) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("lost", True)
        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["thin"])  # aiohttp takes it for the end
async def test_a_reset_is_not_the_end_of_a_reply_without_a_length(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b'\r\n{"some": 1}')
        peer.reset()

    async with Scripted(script) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("lost", True)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"garbage\r\n\r\n", id="no HTTP"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46" * 20, id="TLS"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="length -1"),
        pytest.param(HEAD + b"Content-Length: x\r\n\r\n", id="length x"),
        pytest.param(CHUNKED + b"zz\r\n", id="chunk zz"),
    ],
)
async def test_what_is_no_reply(connect: Connect, sent: bytes) -> None:
    async with Scripted(once(sent)) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("malformed", True)
        assert len(server.requests) == 1


@pytest.mark.parametrize("announced", [True, False])
async def test_replies_that_are_too_large(connect: Connect, announced: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        length = f"Content-Length: {100 * BODY_LIMIT}\r\n".encode() if announced else b""
        await peer.send(HEAD + length + b"\r\n")
        while True:
            await peer.send(bytes(1_000_000))

    async with Scripted(script) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("oversized", True)
