"""Timeouts: enforced by the worker, and by the driver where the worker can't."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.backends.local import _worker
from tests.backends.helpers import mark, marks


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the driver wait less."""
    monkeypatch.setattr(_worker, "TIMEOUT_GRACE", 0.3)


def _hang_asleep() -> None:
    time.sleep(1000)


def _hang_in_c() -> None:
    pow(3, 1 << 40)  # one call into C that keeps the interpreter lock


@pytest.mark.parametrize("hang", [_hang_asleep, _hang_in_c])
async def test_a_call_that_hangs(tmp_path: Path, hang: Callable[[], None]) -> None:
    ran = str(tmp_path / "ran")

    def work(x: int) -> int:
        mark(ran, f"{x} ")
        if x == 3:
            hang()
        return x

    async with af.Fabric("local://?processes=2", timeout=0.4, hedge=None) as fabric:
        results = await fabric.map(work, range(12), return_exceptions=True, chunksize=6)
    error = results[3]
    assert isinstance(error, af.AttemptTimeout)
    assert "timeout=0.4 s" in str(error)
    assert [x for x in range(12) if isinstance(results[x], Exception)] == [3]
    assert marks(ran).split().count("3") == 1  # a timeout is not repeated by itself


async def test_the_stack_of_a_call_that_hangs_is_told() -> None:
    async with af.Fabric("local://?processes=1", timeout=0.2) as fabric:
        with pytest.raises(af.AttemptTimeout) as caught:
            await fabric.submit(_hang_asleep)
        assert "time.sleep(1000)" in str(caught.value.__cause__)
        assert await fabric.submit(abs, -1) == 1


async def test_a_coroutine_function_that_blocks_its_loop(tmp_path: Path) -> None:
    ran = str(tmp_path / "ran")

    async def work(x: int) -> int:
        mark(ran)
        time.sleep(1000)  # that is the mistake
        return x

    async with af.Fabric("local://?processes=1", timeout=0.2) as fabric:
        with pytest.raises(af.AttemptTimeout):
            await fabric.submit(work, 1)
        assert await fabric.submit(abs, -1) == 1
    assert marks(ran) == "x"


async def test_coroutines_that_only_wait() -> None:
    async def work(x: int) -> int:
        await asyncio.sleep(1000 if x % 2 else 0)
        return x

    async with af.Fabric("local://?processes=1", timeout=0.3) as fabric:
        pid = await fabric.submit(os.getpid)
        results = await fabric.map(work, range(6), return_exceptions=True)
        assert [type(each) for each in results[1::2]] == [af.AttemptTimeout] * 3
        assert results[::2] == [0, 2, 4]
        assert await fabric.submit(os.getpid) == pid


@pytest.mark.parametrize("is_async", [False, True])
async def test_loading_does_not_count(is_async: bool) -> None:
    """Neither the initializer, nor imports, nor what is fetched: the timeout is an attempt's."""

    def prepare() -> None:
        time.sleep(0.8)

    def work(x: int) -> int:
        return x

    async def work_later(x: int) -> int:
        return x

    function = work_later if is_async else work
    async with af.Fabric("local://?processes=1", timeout=0.2, initializer=prepare) as fabric:
        assert await fabric.map(function, range(3)) == [0, 1, 2]


async def test_a_timeout_of_one_map_does_not_end_another_ones_call(tmp_path: Path) -> None:
    def slow(_: int) -> int:
        time.sleep(1.2)
        return 1

    async with af.Fabric("local://?processes=1") as fabric:
        long = fabric.submit(slow, 1)
        short = fabric.with_options(timeout=0.2).submit(abs, -2)
        assert await long == 1
        assert await short == 2
