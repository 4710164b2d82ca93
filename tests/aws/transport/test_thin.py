"""What the thin transport has of its own: its pool, its credentials, its cost."""

import asyncio
import gc
import socket
import time
from typing import Any

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.aws._session import Credentials
from asyncfabric.aws.transport import Reply, Request, Unanswered, _pool
from asyncfabric.aws.transport._reader import Reader
from asyncfabric.aws.transport._thin import ThinTransport

from .conftest import Open
from .scripted import OK, Peer, Scripted

pytestmark = pytest.mark.every_loop


async def serve(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


# the pool


@pytest.mark.parametrize(
    "excess", [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"garbage", b"\x00"]
)
@pytest.mark.parametrize("later", [False, True])
async def test_bytes_that_nobody_asked_for_end_the_connection(
    thin: Open, excess: bytes, later: bool
) -> None:
    ended = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*([OK, excess] if later else [OK + excess]))
        await peer.end()
        ended.set()

    async with Scripted(script) as server:
        client, _ = await thin(server.url)
        for _ in range(3):
            ended.clear()
            assert bytes((await client.reply()).body) == b'"ok"'
            await ended.wait()
        assert server.connections == len(server.requests) == 3


async def test_a_request_that_was_sent_in_part_did_not_run(thin: Open) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.reset()

    async with Scripted(script) as server:
        client, _ = await thin(server.url)
        problem = await client.ask(bytes(50_000_000))
        assert isinstance(problem, Unanswered)
        assert (problem.why, problem.written) == ("lost", False)


async def test_a_request_whose_time_ended_before_it_was_sent_did_not_run(thin: Open) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await asyncio.Event().wait()

    async with Scripted(script) as server:
        client, _ = await thin(server.url)
        problem = await client.ask(bytes(50_000_000), seconds=0.01)
        assert isinstance(problem, Unanswered)
        assert (problem.why, problem.written) == ("timeout", False)


async def test_a_connection_whose_end_is_about_to_be_told_is_not_used(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        await client.reply()
        transport = client.transport
        assert isinstance(transport, ThinTransport)
        (connection,) = transport._pool._all
        assert connection._transport is not None
        connection._transport.abort()  # as the loop does where the server reset it
        await client.reply()
        assert server.connections == 2


async def test_payloads_that_are_hashed_when_the_transport_is_closed(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        answers = [client.ask(bytes(2_000_000)) for _ in range(4)]
        await client.transport.aclose()
        assert [each.done() for each in answers] == [True] * 4
        for each in answers:
            problem = await each
            assert isinstance(problem, Unanswered)
            assert (problem.why, problem.written) == ("closed", False)
        assert server.requests == []


async def test_threads_that_are_no_more(thin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_in_executor(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after shutdown")

    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        loop = type(asyncio.get_running_loop())
        with monkeypatch.context() as patch:
            patch.setattr(loop, "run_in_executor", run_in_executor)
            answer = client.ask(bytes(2_000_000))
        assert isinstance(await answer, Reply)


async def test_a_connection_that_may_have_ended_is_looked_at(
    thin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server hung up, and the loop hasn't had the time to tell."""
    monkeypatch.setattr(_pool, "DOUBT", 0.0)
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        await serve(peer)

    async with Scripted(script) as server:
        client, _ = await thin(server.url)
        await client.reply()
        await client.reply()
        assert server.connections == 1
        sock: socket.socket = peers[0]._writer.get_extra_info("socket")
        with socket.socket(fileno=socket.dup(sock.fileno())) as other:
            other.shutdown(socket.SHUT_RDWR)
        await client.reply()
        assert server.connections == 2
        assert len(server.requests) == 3


async def test_the_connection_used_last_is_used_next(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        await asyncio.gather(*(client.ask() for _ in range(5)))
        used = server.connections
        before = len(server.requests)
        for _ in range(5):
            await client.reply()
        assert len({got.connection for got in server.requests[before:]}) == 1
        assert server.connections == used


async def test_idle_connections_are_closed(thin: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "IDLE", 0.0)
    monkeypatch.setattr(_pool, "TICK", 0.01)
    ended = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.end()
        ended.release()

    async with Scripted(script) as server:
        client, _ = await thin(server.url)
        await asyncio.gather(*(client.ask() for _ in range(3)))
        for _ in range(server.connections):
            await ended.acquire()
        await client.reply()


# credentials


async def test_new_credentials_are_used_at_once(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, keys = await thin(server.url)
        await client.reply()
        keys.now = Credentials("AKIASECOND", "other", "token", None)
        await client.reply()
        first, second = (got.headers["authorization"] for got in server.requests)
        assert "Credential=AKIAFIRST/" in first
        assert "Credential=AKIASECOND/" in second


async def test_credentials_that_are_still_good_are_used_while_they_are_renewed(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, keys = await thin(server.url)
        keys.now = Credentials("AKIAOLD", "secret", None, time.time() + 200)
        await client.reply()
        keys.now = None
        for _ in range(3):
            await client.reply()
        assert keys.renewals == 1
        keys.renewed.set_result(Credentials("AKIANEW", "secret", None, None))
        await asyncio.sleep(0)  # the renewal hears of it
        await client.reply()
        used = [got.headers["authorization"].split("/")[0] for got in server.requests]
        assert [each.rpartition("=")[2] for each in used] == ["AKIAOLD"] * 4 + ["AKIANEW"]


async def test_calls_wait_for_credentials_when_the_old_ones_have_expired(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, keys = await thin(server.url, limit=2)
        keys.now = Credentials("AKIAOLD", "secret", None, time.time() - 1)
        await client.reply()
        keys.now = None
        answers = [client.ask() for _ in range(5)]
        await asyncio.sleep(0)
        keys.renewed.set_result(Credentials("AKIANEW", "secret", None, None))
        assert all([isinstance(await each, Reply) for each in answers])
        assert keys.renewals == 1
        assert all("AKIANEW" in got.headers["authorization"] for got in server.requests[1:])


async def test_calls_are_told_why_there_are_no_credentials(thin: Open) -> None:
    async with Scripted(serve) as server:
        client, keys = await thin(server.url)
        keys.now = Credentials("AKIAOLD", "secret", None, time.time() - 1)
        await client.reply()
        keys.now = None
        answers = [client.ask() for _ in range(3)]
        error = ConfigurationError("run: aws sso login")
        keys.renewed.set_exception(error)
        for each in answers:
            problem = await each
            assert isinstance(problem, Unanswered)
            assert (problem.why, problem.written) == ("credentials", False)
            assert problem.__cause__ is error
        assert len(server.requests) == 1


# cost


async def test_a_call_makes_no_task_timer_or_connection(thin: Open) -> None:
    calls = 200
    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        await client.reply()
        loop = asyncio.get_running_loop()
        tasks: list[object] = []
        finished = loop.create_future()
        left = calls

        def factory(loop: asyncio.AbstractEventLoop, coro: Any, **_: Any) -> asyncio.Future[Any]:
            tasks.append(coro)
            return asyncio.Task(coro, loop=loop)

        def done(_: Reply | Unanswered) -> None:
            nonlocal left
            left -= 1
            if left:
                client.transport.invoke(Request("f", b"{}", False, 30), done)
            else:
                finished.set_result(None)

        loop.set_task_factory(factory)
        client.transport.invoke(Request("f", b"{}", False, 30), done)
        await finished
        loop.set_task_factory(None)
        assert tasks == []
        assert server.connections == 1
        assert len(server.requests) == 1 + calls


async def test_connections_that_wait_hold_no_parser(thin: Open) -> None:
    held = 50
    arrived = asyncio.Semaphore(0)
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.release()
        await go.wait()
        await peer.send(OK)
        await peer.end()

    gc.collect()
    async with Scripted(script) as server:
        client, _ = await thin(server.url, limit=held)
        answers = [client.ask() for _ in range(held)]
        for _ in range(held):
            await arrived.acquire()
        assert [each for each in gc.get_objects() if type(each) is Reader] == []
        go.set()
        assert all([isinstance(await each, Reply) for each in answers])
