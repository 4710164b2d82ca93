"""Whom both transports trust."""

import pytest

from .conftest import Connect
from .scripted import AUTHORITY, OK, Peer, Scripted

pytestmark = pytest.mark.every_loop


async def serve(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the servers of these tests."""
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    monkeypatch.setenv("AWS_CA_BUNDLE", AUTHORITY)


@pytest.mark.usefixtures("trusted")
async def test_calls_over_tls(connect: Connect) -> None:
    async with Scripted(serve, tls=True) as server:
        client = await connect(server.url)
        for size in (10, 3_000_000, 10):
            assert bytes((await client.reply(bytes(size))).body) == b'"ok"'
        assert server.connections == 1
        assert [len(got.body) for got in server.requests] == [10, 3_000_000, 10]


@pytest.mark.usefixtures("trusted")
async def test_a_reply_cut_short(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with Scripted(script, tls=True) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("lost", True)


async def test_an_authority_that_nobody_knows(connect: Connect) -> None:
    async with Scripted(serve, tls=True) as server:
        problem = await (await connect(server.url)).problem()
        assert (problem.why, problem.written) == ("tls", False)
        assert "certificate verify failed" in str(problem)
        assert server.requests == []


@pytest.mark.usefixtures("trusted")
async def test_the_certificate_of_another_host(connect: Connect) -> None:
    async with Scripted(serve, tls=True) as server:
        url = server.url.replace("localhost", "127.0.0.1")
        problem = await (await connect(url)).problem()
        assert (problem.why, problem.written) == ("tls", False)
        assert server.requests == []


async def test_a_server_that_speaks_no_tls(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await peer.end()

    async with Scripted(script) as server:
        problem = await (await connect(server.url.replace("http:", "https:"))).problem()
        assert (problem.why, problem.written) == ("tls", False)


async def test_a_server_that_hangs_up_in_the_handshake(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        await peer.read(1)

    async with Scripted(script) as server:
        problem = await (await connect(server.url.replace("http:", "https:"))).problem()
        assert (problem.why, problem.written) == ("connect", False)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("kind", ["thin"])
async def test_a_handshake_that_fails_where_others_did_not(connect: Connect) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 2:
            await peer.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            await peer.end()
            return
        await peer.start_tls()
        await peer.request()
        await peer.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    async with Scripted(script) as server:
        client = await connect(server.url.replace("http://127.0.0.1", "https://localhost"))
        await client.reply()
        problem = await client.problem()
        assert (problem.why, problem.written) == ("connect", False)
        await client.reply()
