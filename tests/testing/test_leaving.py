"""Nothing stays behind: tests/conftest.py looks after every test; here the hard ways to leave."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from asyncfabric.testing import LambdaFront
from tests.testing.client import CODE, cloud, ended


@pytest.mark.every_loop
async def test_closing_ends_what_runs() -> None:
    async with cloud("hang", "echo") as (front, client):
        await client.invoke("echo")
        waiting = [asyncio.create_task(client.invoke("hang")) for _ in range(3)]
        starting = asyncio.create_task(client.invoke("hang"))
        await front.until(lambda counters: counters.executions >= 3)
    for each in (*waiting, starting):
        with pytest.raises(Exception, match=r"isconnect|closed"):
            await each


@pytest.mark.every_loop
async def test_closing_does_not_wait_for_clients_that_keep_their_connections() -> None:
    async with LambdaFront() as front:
        port = int(front.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        other, unused = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        assert b"404" in await reader.readline()
        await front.aclose()
        for stream, connection in ((reader, writer), (other, unused)):
            await stream.read()
            assert stream.at_eof()
            connection.close()
            await connection.wait_closed()


async def test_closing_twice_and_without_opening() -> None:
    front = LambdaFront()
    await front.aclose()
    await front.open()
    await front.aclose()
    await front.aclose()


async def test_a_port_that_is_taken() -> None:
    async with LambdaFront() as front:
        port = int(front.url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            await LambdaFront(port=port).open()


_DRIVER = """
import asyncio, json, os, sys
from asyncfabric.testing import FunctionSettings, LambdaFront
import aiohttp

async def main():
    settings = FunctionSettings(handler="handlers.hold_with_child", code=sys.argv[1], timeout=900)
    async with LambdaFront({"f": settings}) as front, aiohttp.ClientSession() as session:
        url = f"{front.url}/2015-03-31/functions/f/invocations"
        await session.post(url, json=None)

asyncio.run(main())
"""


async def test_a_killed_driver_leaves_nothing(tmp_path: Path) -> None:
    driver = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _DRIVER,
        str(CODE),
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
    )
    async with asyncio.timeout(30):
        while not (marks := [*tmp_path.glob("asyncfabric-front-*/tmp-*/pids")]):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        while len(pids := marks[0].read_text().split()) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        driver.send_signal(signal.SIGKILL)
        await driver.wait()
        while not all(ended(int(pid)) for pid in pids) or [*tmp_path.iterdir()]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
