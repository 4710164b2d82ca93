"""After `aclose` nothing is left, whatever was under way."""

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import asyncfabric as af
from tests.backends.helpers import children, descriptors, happens, mark, marks


def _hang(path: str) -> None:
    mark(path, f"{os.getpid()} ")
    time.sleep(1000)


async def _hang_later(path: str) -> None:
    mark(path, f"{os.getpid()} ")
    await asyncio.sleep(1000)


def _files() -> set[str]:
    return {path.name for path in Path(tempfile.gettempdir()).iterdir()}


async def test_in_mid_call(tmp_path: Path) -> None:
    begun = str(tmp_path / "begun")
    for function in (_hang, _hang_later):
        before = descriptors()
        files = _files()
        fabric = af.Fabric("local://?processes=2")
        calls = [fabric.submit(function, begun) for _ in range(4)]
        await happens(lambda: len(marks(begun).split()) >= 2)
        await fabric.aclose()
        assert children() == []
        assert descriptors() == before
        assert _files() == files
        assert all(call.done() for call in calls)
        Path(begun).unlink()
    assert [thread for thread in threading.enumerate() if "wait" in thread.name] == []


@pytest.mark.parametrize("passes", [0, 1, 2, 5])
async def test_in_mid_spawn(passes: int) -> None:
    before = descriptors()
    fabric = af.Fabric("local://?processes=3")
    call = fabric.submit(abs, -1)
    for _ in range(passes):
        await asyncio.sleep(0)
    await fabric.aclose()
    assert children() == []
    assert descriptors() == before
    assert call.done()


async def test_in_mid_send_of_a_large_argument(tmp_path: Path) -> None:
    begun = str(tmp_path / "begun")
    before = descriptors()
    fabric = af.Fabric("local://?processes=1")
    await fabric.map(abs, [1])
    slow = fabric.submit(_hang, begun)
    await happens(lambda: marks(begun))
    large = fabric.submit(len, np.zeros(100 << 20, np.uint8))
    await asyncio.sleep(0)
    await fabric.aclose()
    assert children() == []
    assert descriptors() == before
    assert slow.done()
    assert large.done()


async def test_a_worker_that_will_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In C code, with the interpreter lock: it can't notice, and is killed."""
    from asyncfabric.backends.local import _pool

    monkeypatch.setattr(_pool, "CLOSE_GRACE_SECONDS", 0.2)
    begun = str(tmp_path / "begun")

    def busy(_: int) -> None:
        mark(begun)
        pow(3, 1 << 40)

    async with af.Fabric("local://?processes=1") as fabric:
        call = fabric.submit(busy, 1)
        await happens(lambda: marks(begun))
    assert call.cancelled()
    assert children() == []


async def test_a_worker_whose_child_keeps_its_sockets(tmp_path: Path) -> None:
    child = str(tmp_path / "child")

    def fork(_: int) -> int:
        pid = os.fork()
        if pid == 0:
            time.sleep(1000)
        mark(child, str(pid))
        return 1

    try:
        async with af.Fabric("local://?processes=1") as fabric:
            assert await fabric.submit(fork, 1) == 1
        assert children() == []
    finally:
        os.kill(int(marks(child)), 9)


async def test_twice_and_never_opened() -> None:
    fabric = af.Fabric("local://?processes=1")
    await fabric.aclose()
    await fabric.aclose()
    async with af.Fabric("local://?processes=1") as fabric:
        await fabric.submit(abs, 1)
        await fabric.aclose()
    assert children() == []
