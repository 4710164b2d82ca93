"""The leak check finds leaks, and is cheap enough to run around every test."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import asyncfabric as af
from tests.leaks import KEPT, leaked_since, snapshot


def test_nothing_is_no_leak() -> None:
    assert leaked_since(snapshot(), grace=0) == []


def test_a_process_is_found() -> None:
    before = snapshot()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        leaks = leaked_since(before, grace=0)
        process.communicate(b"\n")
    assert any(leak.startswith(f"process {process.pid} ") and "input()" in leak for leak in leaks)
    assert any(leak.startswith("descriptor") for leak in leaks)
    assert leaked_since(before) == []


async def test_a_shared_pool_replaces_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KEPT, "workers", 1)
    async with af.Fabric("local://?processes=1") as fabric:
        first = await fabric.submit(os.getpid)
        before = snapshot()
        os.kill(first, signal.SIGKILL)
        assert await fabric.submit(os.getpid) != first
        assert leaked_since(before) == []
        async with af.Fabric("local://?processes=1") as another:
            await another.submit(os.getpid)
            assert any(leak.startswith("process") for leak in leaked_since(before, grace=0))


def test_a_thread_is_found() -> None:
    before = snapshot()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, args=(10,), name="left-over")
    thread.start()
    leaks = leaked_since(before, grace=0)
    end.set()
    thread.join()
    assert len(leaks) == 1
    assert "left-over" in leaks[0]


def test_a_descriptor_is_found() -> None:
    before = snapshot()
    reader, writer = os.pipe()
    leaks = leaked_since(before, grace=0)
    os.close(reader)
    os.close(writer)
    assert len(leaks) == 2
    assert all("pipe:" in leak for leak in leaks)


def test_a_temporary_directory_is_found() -> None:
    before = snapshot()
    directory = tempfile.mkdtemp(prefix="asyncfabric-")
    leaks = leaked_since(before, grace=0)
    shutil.rmtree(directory)
    assert leaks == [f"directory {Path(directory).name}"]


def test_what_ends_within_the_grace_is_no_leak() -> None:
    before = snapshot()
    thread = threading.Timer(0.05, lambda: None)
    thread.start()
    assert leaked_since(before) == []


@pytest.fixture
async def loop_in_fixture() -> AsyncIterator[asyncio.AbstractEventLoop]:
    yield asyncio.get_running_loop()
    await asyncio.sleep(0)


@pytest.mark.every_loop
async def test_a_loop_and_its_executor_are_no_leak(
    loop_in_fixture: asyncio.AbstractEventLoop,
) -> None:
    assert asyncio.get_running_loop() is loop_in_fixture
    assert await asyncio.to_thread(len, "abc") == 3


@pytest.mark.every_loop
async def test_every_loop(request: pytest.FixtureRequest) -> None:
    module = type(asyncio.get_running_loop()).__module__
    assert module.startswith("uvloop") == ("uvloop" in request.node.name)
