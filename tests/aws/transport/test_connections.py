"""When connections are made, kept and lost, and what is known then about a request."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import pytest

from asyncfabric.aws.transport import Reply, Request, Unanswered
from asyncfabric.aws.transport._aiobotocore import AiobotocoreTransport

from .conftest import Connect
from .scripted import OK, Peer, Scripted

pytestmark = pytest.mark.every_loop


async def serve(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


async def hold(peer: Peer) -> None:
    await peer.request()
    await peer.end()


class Invoker(NamedTuple):
    """A Lambda client that does as a test says."""

    invoke: Callable[..., Awaitable[dict[str, object]]]


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_no_more_connections_than_the_limit(connect: Connect) -> None:
    release = asyncio.Event()
    busy = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            busy.release()
            await release.wait()
            await peer.send(OK)

    async with Scripted(script) as server:
        client = await connect(server.url, limit=3)
        answers = [client.ask() for _ in range(10)]
        for _ in range(3):
            await busy.acquire()
        assert server.connections == 3
        assert not any(each.done() for each in answers)
        release.set()
        assert all([isinstance(await each, Reply) for each in answers])
        assert server.connections == 3
        assert len(server.requests) == 10


async def test_nothing_is_connected_before_it_is_needed(connect: Connect) -> None:
    async with Scripted(serve) as server:
        client = await connect(server.url)
        assert server.connections == 0
        for _ in range(3):
            await client.reply()
        assert server.connections == 1


async def test_a_connection_that_the_server_closed_is_not_used_again(connect: Connect) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        peer.half_close()
        await peer.end()
        closed.set()

    async with Scripted(script) as server:
        client = await connect(server.url)
        for _ in range(3):
            closed.clear()
            await client.reply()
            await closed.wait()
        assert server.connections == 3
        assert len(server.requests) == 3


async def test_a_reply_before_the_request_was_read(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}")
        await peer.end()

    async with Scripted(script) as server:
        client = await connect(server.url)
        for _ in range(2):
            reply = await client.reply(bytes(20_000_000))
            assert (reply.status, bytes(reply.body)) == (413, b"{}")
        assert server.connections == 2


async def test_a_time_limit(connect: Connect) -> None:
    async with Scripted(hold) as server:
        client = await connect(server.url)
        problem = await client.problem(seconds=0.01)
        assert (problem.why, problem.written) == ("timeout", True)
        assert len(server.requests) <= 1


async def test_a_time_limit_ends_one_call_only(connect: Connect) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await go.wait()
        await peer.send(OK)
        await peer.end()

    async with Scripted(script) as server:
        client = await connect(server.url)
        long, short = client.ask(seconds=60), client.ask(seconds=0.01)
        assert isinstance(await short, Unanswered)
        go.set()
        assert isinstance(await long, Reply)


async def test_nobody_listens(connect: Connect) -> None:
    client = await connect(f"http://127.0.0.1:{unused_port()}", limit=2)
    for answer in [client.ask() for _ in range(5)]:
        problem = await answer
        assert isinstance(problem, Unanswered)
        assert (problem.why, problem.written) == ("connect", False)


@pytest.mark.parametrize(
    ("error", "why"), [(socket.EAI_NONAME, "nowhere"), (socket.EAI_AGAIN, "dns")]
)
async def test_a_host_without_an_address(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, error: int, why: str
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(error, "no such host")

    monkeypatch.setattr(asyncio.get_running_loop().__class__, "getaddrinfo", getaddrinfo)
    client = await connect("http://lambda.eu-wset-1.invalid")
    problem = await client.problem()
    assert (problem.why, problem.written) == (why, False)


async def test_closing_tells_those_who_wait(connect: Connect) -> None:
    arrived = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.release()
        await peer.end()

    async with Scripted(script) as server:
        client = await connect(server.url, limit=2)
        answers = [client.ask() for _ in range(4)]
        for _ in range(2):
            await arrived.acquire()
        await client.transport.aclose()
        problems = [await each for each in answers]
        assert all(isinstance(each, Unanswered) and each.why == "closed" for each in problems)
        assert [isinstance(each, Unanswered) and each.written for each in problems] == [
            True,
            True,
            False,
            False,
        ]


async def test_a_closed_transport_takes_nothing(connect: Connect) -> None:
    async with Scripted(serve) as server:
        client = await connect(server.url)
        await client.reply()
        await client.transport.aclose()
        problem = await client.problem()
        assert (problem.why, problem.written) == ("closed", False)
        await client.transport.aclose()
        assert len(server.requests) == 1


async def test_what_a_callback_raises_harms_nobody_else(connect: Connect) -> None:
    reported: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
    called = asyncio.Event()

    def done(_: object) -> None:
        called.set()
        raise LookupError("a bug")

    async with Scripted(serve) as server:
        client = await connect(server.url)
        client.transport.invoke(Request("f", b"{}", False, 30), done)
        await called.wait()
        await client.reply()
        assert server.connections == 1
    assert [type(each) for each in reported] == [LookupError]


@pytest.mark.parametrize("kind", ["aiobotocore"])
async def test_whatever_the_sdk_does_the_caller_is_told(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def invoke(**_: object) -> dict[str, object]:
        return {"Payload": Nothing()}  # and no event that tells of the reply

    class Nothing:
        async def read(self, _: int) -> bytes:
            return b""

    client = await connect("http://127.0.0.1:1")
    assert isinstance(client.transport, AiobotocoreTransport)
    monkeypatch.setattr(client.transport, "_client", Invoker(invoke))
    problem = await client.problem()
    assert (problem.why, problem.written) == ("lost", True)


@pytest.mark.parametrize("kind", ["aiobotocore"])
async def test_a_host_that_was_there_is_not_nowhere(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exchange(_: Request) -> Reply:
        raise Unanswered("no such host", written=False, why="nowhere")

    async with Scripted(serve) as server:
        client = await connect(server.url)
        await client.reply()
        monkeypatch.setattr(client.transport, "_exchange", exchange)
        problem = await client.problem()
        assert (problem.why, problem.written) == ("dns", False)
