"""The service: a real server, asked by real clients that may go away."""

import asyncio
import contextlib
import re
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path

import httpx
import pytest

from examples.service import BLOCK, hits

from . import running

ENDLESS = 10**12  # points: months of work
PATIENCE = 30.0  # seconds, for what never comes


def _start(scratch: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the service; return it and its address once it listens."""
    server = running.start(scratch, "service", "--port=0", "--max-pending=1", *arguments)
    assert server.stdout is not None
    output = ""
    for line in server.stdout:  # ends when the server does
        output += line
        if address := re.search(r"running on (http://127\.0\.0\.1:\d+)", line):
            return server, address[1]
    running.kill(server)
    pytest.fail(f"the service didn't start:\n{output}")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    scratch = tmp_path_factory.mktemp("service")
    server, address = _start(scratch, "--backend=local://?processes=2")
    yield address
    server.send_signal(signal.SIGTERM)
    output = running.finish(server, scratch)
    assert server.returncode == -signal.SIGTERM, output
    assert "Traceback" not in output, output


@pytest.fixture
async def client(address: str) -> AsyncGenerator[httpx.AsyncClient, None]:
    async with _client(address) as client:
        yield client
        await _until(client, lambda stats: stats["running"] == 0)


def _client(address: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=address, timeout=PATIENCE, trust_env=False)


async def _get(client: httpx.AsyncClient, path: str, **query: int) -> dict[str, float]:
    response = await client.get(path, params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, float] = response.json()
    return answer


async def _until(
    client: httpx.AsyncClient, condition: Callable[[dict[str, float]], bool]
) -> dict[str, float]:
    """Ask for the service's numbers until they are as wanted."""
    async with asyncio.timeout(PATIENCE):
        while not condition(stats := await _get(client, "/stats")):
            pass
    return stats


@contextlib.asynccontextmanager
async def _endless(
    client: httpx.AsyncClient, path: str
) -> AsyncGenerator[asyncio.Task[dict[str, float]], None]:
    """Make a request without end; go away in the middle of it."""
    task = asyncio.create_task(_get(client, path, samples=ENDLESS))
    try:
        await _until(client, lambda stats: stats["running"] == 1)
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def _expected(samples: int, seed: int) -> float:
    blocks = enumerate(range(0, samples, BLOCK))
    return 4 * sum(hits(seed, i, min(BLOCK, samples - at)) for i, at in blocks) / samples


async def test_concurrent_requests_each_get_their_own_answer(client: httpx.AsyncClient) -> None:
    seeds = range(12)
    answers = await asyncio.gather(
        *(_get(client, "/estimate", samples=3 * BLOCK + 1 + seed, seed=seed) for seed in seeds)
    )
    expected = [_expected(3 * BLOCK + 1 + seed, seed) for seed in seeds]
    assert [answer["pi"] for answer in answers] == expected


async def test_a_small_request_does_not_wait_for_a_large_one(client: httpx.AsyncClient) -> None:
    async with _endless(client, "/estimate") as large:
        answer = await _get(client, "/estimate", samples=5 * BLOCK, seed=1)
        assert answer["pi"] == _expected(5 * BLOCK, 1)
        assert not large.done()


@pytest.mark.parametrize("path", ["/estimate", "/hits"])
async def test_a_request_stops_when_its_client_goes_away(
    client: httpx.AsyncClient, path: str
) -> None:
    before = await _get(client, "/stats")
    async with _endless(client, path):
        if path == "/estimate":
            await _until(client, lambda stats: stats["calls"] > before["calls"])
    stats = await _until(client, lambda stats: stats["running"] == 0)
    assert stats["stopped"] == before["stopped"] + 1
    assert stats["answered"] == before["answered"]
    # Nothing is counted any more, and the workers are there for others.
    assert await _get(client, "/hits", samples=10, seed=3) == {"hits": hits(3, 0, 10)}
    assert (await _get(client, "/stats"))["calls"] == stats["calls"]


async def test_a_service_that_has_enough_to_do_says_so(client: httpx.AsyncClient) -> None:
    async with _endless(client, "/hits"):
        refused = await client.get("/hits", params={"samples": 10})
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "1"
        assert "max_pending" in refused.json()["detail"]
    await _until(client, lambda stats: stats["running"] == 0)
    assert await _get(client, "/hits", samples=10) == {"hits": hits(0, 0, 10)}


@pytest.mark.parametrize("query", ["samples=0", "samples=x", "samples=1&seed=-1", ""])
async def test_bad_requests_are_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/estimate?{query}")).status_code == 422


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)]
)
async def test_it_shuts_down_in_the_middle_of_a_request(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    server, address = _start(tmp_path, "--grace=1")
    try:
        async with _client(address) as client:
            request = asyncio.create_task(client.get("/estimate", params={"samples": ENDLESS}))
            await _until(client, lambda stats: stats["calls"] > 0)
            server.send_signal(number)
            await asyncio.wait([request])
            failed = request.exception() is not None or request.result().status_code == 500
            assert failed
    except BaseException:
        running.kill(server)
        raise
    output = await asyncio.to_thread(running.finish, server, tmp_path)
    assert server.returncode == code, output
    assert "Application shutdown complete" in output
    assert "Exception in thread" not in output, output
