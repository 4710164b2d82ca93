"""How connections are opened: addresses, what doesn't answer, and where there is no room."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from asyncfabric.aws.transport import Reply, Unanswered, _addresses, _dialing, _pool
from asyncfabric.aws.transport._sockets import new_socket

from .conftest import Open
from .scripted import OK, Peer, Scripted

pytestmark = pytest.mark.every_loop

CLOSING = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


async def serve(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


async def serve_once(peer: Peer) -> None:
    await peer.request()
    await peer.send(CLOSING)


# addresses


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[str] | int], list[str]]:
    """Answer look-ups of one name with addresses or an error; return the list of look-ups."""

    def answer(name: str, answer: list[str] | int) -> list[str]:
        lookups: list[str] = []
        loop: Any = type(asyncio.get_running_loop())
        original = loop.getaddrinfo

        async def getaddrinfo(self: object, host: str, port: int, **options: object) -> object:
            if host != name:  # uvloop looks up numbers, too
                return await original(self, host, port, **options)
            lookups.append(host)
            if isinstance(answer, int):
                raise socket.gaierror(answer, "no address")
            kind = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
            return [(*kind, (each, port)) for each in answer]

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
        return lookups

    return answer


async def test_one_address_that_answers_is_enough(
    thin: Open, name_server: Callable[..., list[str]]
) -> None:
    async with Scripted(serve) as server:
        lookups = name_server("lambda.invalid", ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
        client, _ = await thin(server.url.replace("127.0.0.1", "lambda.invalid"))
        answers = await asyncio.gather(*(client.ask() for _ in range(6)))
        assert [isinstance(each, Reply) for each in answers] == [True] * 6
        assert len(lookups) == 1


async def test_a_name_server_that_fails_for_a_moment(
    thin: Open, name_server: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_addresses, "TTL", 0.0)
    async with Scripted(serve_once) as server:
        client, _ = await thin(server.url.replace("127.0.0.1", "localhost"))
        await client.reply()
        lookups = name_server("localhost", socket.EAI_AGAIN)
        await client.reply()
        assert server.connections == 2
        assert len(lookups) == 1


async def test_nobody_waits_for_a_name_server_that_is_slow(
    thin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_addresses, "TTL", 0.0)
    asked = 0

    async def getaddrinfo(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    async with Scripted(serve_once) as server:
        client, _ = await thin(server.url.replace("127.0.0.1", "localhost"))
        await client.reply()
        monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", getaddrinfo)
        for _ in range(3):
            await client.reply()
        await client.transport.aclose()
    assert asked == 1


async def test_a_host_that_has_moved_is_found(
    thin: Open, name_server: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its only address answers no more: that is not believed for a whole minute."""
    monkeypatch.setattr(_addresses, "AGAIN", 0.0)
    async with Scripted(serve) as server:
        addresses = ["127.0.0.2"]
        lookups = name_server("lambda.invalid", addresses)
        client, _ = await thin(server.url.replace("127.0.0.1", "lambda.invalid"))
        assert (await client.problem()).why == "connect"
        addresses[:] = ["127.0.0.1"]
        while isinstance(answer := await client.ask(), Unanswered):
            assert (answer.why, answer.written) == ("connect", False)
            assert len(lookups) < 5
        assert isinstance(answer, Reply)


# what doesn't answer


@pytest.mark.skipif(not os.path.exists("/proc"), reason="a full queue answers elsewhere")  # noqa: PTH110
async def test_an_address_that_never_answers_is_given_up(
    thin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_dialing, "OPEN_TIMEOUT", 0.0)
    monkeypatch.setattr(_pool, "TICK", 0.01)
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for each in (first, second):  # its queue is full: whoever comes now isn't heard
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        client, _ = await thin(f"http://127.0.0.1:{deaf.getsockname()[1]}", limit=2)
        for answer in [client.ask() for _ in range(3)]:
            problem = await answer
            assert isinstance(problem, Unanswered)
            assert (problem.why, problem.written) == ("connect", False)
            assert "no answer within" in str(problem)


async def test_closing_while_connections_are_being_opened(thin: Open) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        client, _ = await thin(f"https://127.0.0.1:{deaf.getsockname()[1]}", limit=4)
        answers = [client.ask() for _ in range(6)]
        await asyncio.sleep(0)
        await client.transport.aclose()
        for answer in answers:
            problem = await answer
            assert isinstance(problem, Unanswered)
            assert (problem.why, problem.written) == ("closed", False)


# no room


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let this process have so many sockets, and no more."""

    def limit(most: int) -> None:
        made = 0

        def limited(*arguments: Any) -> socket.socket:
            nonlocal made
            made += 1
            if made > most:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return new_socket(*arguments)

        monkeypatch.setattr(_dialing, "new_socket", limited)

    return limit


async def test_calls_share_the_connections_that_there_is_room_for(
    thin: Open, room: Callable[[int], None]
) -> None:
    async with Scripted(serve) as server:
        client, _ = await thin(server.url, limit=50)
        room(3)
        answers = [client.ask() for _ in range(100)]
        assert [isinstance(await each, Reply) for each in answers] == [True] * 100
        assert server.connections == 3


async def test_no_room_at_all_is_told(thin: Open, room: Callable[[int], None]) -> None:
    async with Scripted(serve) as server:
        client, _ = await thin(server.url)
        room(0)
        problem = await client.problem()
        assert (problem.why, problem.written) == ("connect", False)
        assert os.strerror(errno.EMFILE) in str(problem)
