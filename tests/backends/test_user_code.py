"""What user code does to its process, and what remains of it."""

import asyncio
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.backends.helpers import children, happens, mark, marks, wait_until


def _pid(_: int) -> int:
    return os.getpid()


async def _goes_on(fabric: af.Fabric, pid: int) -> None:
    """The same worker takes the next calls, plain and asynchronous."""

    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x

    assert await fabric.map(_pid, [0]) == [pid]
    assert await fabric.map(later, range(3)) == [0, 1, 2]


def _closes_its_streams(_: int) -> None:
    sys.stdout.close()
    os.close(1)
    os.close(2)


def _moves(_: int) -> None:
    os.chdir("/")
    sys.path.insert(0, "/no/such/place")


def _handles_signals(_: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _leaves_a_thread(_: int) -> None:
    threading.Thread(target=time.sleep, args=(1000,)).start()


def _runs_a_loop(_: int) -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    asyncio.run(main())


def _limits_recursion(_: int) -> None:
    sys.setrecursionlimit(200)


def _throws_out_modules(_: int) -> None:
    for name in ("json", "tempfile", "uuid"):
        sys.modules.pop(name, None)


def _collects_garbage_oddly(_: int) -> None:
    import gc

    gc.disable()
    gc.freeze()


@pytest.mark.parametrize(
    "deed",
    [
        _closes_its_streams,
        _moves,
        _handles_signals,
        _leaves_a_thread,
        _runs_a_loop,
        _limits_recursion,
        _throws_out_modules,
        _collects_garbage_oddly,
    ],
)
async def test_the_worker_goes_on(deed: Any) -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        (pid,) = await fabric.map(_pid, [0])
        await fabric.submit(deed, 1)
        await _goes_on(fabric, pid)
        call = fabric.submit(print, "heard")
        await call
        assert call.logs == "heard\n"
        await fabric.submit(deed, 1) if deed is not _closes_its_streams else None
    assert children() == []


async def test_ten_megabytes_of_text(capfd: pytest.CaptureFixture[str]) -> None:
    def speak(_: int) -> int:
        for number in range(100_000):
            print(f"{number:099d}")
        return 1

    async with af.Fabric("local://?processes=1") as fabric:
        call = fabric.submit(speak, 1)
        assert await call == 1
        assert len(call.logs) < 70_000
        assert re.search(r"9899 characters left out", call.logs) or "left out" in call.logs
    assert len(capfd.readouterr().out) == 10_000_000


async def test_what_is_printed_reaches_the_terminal_at_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def speak(_: int) -> None:
        print("last words")
        os._exit(3)

    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        with pytest.raises(af.WorkerCrashed):
            await fabric.submit(speak, 1)
    assert capfd.readouterr().out == "last words\n"


async def test_logging_is_as_in_any_python(capfd: pytest.CaptureFixture[str]) -> None:
    def speak(_: int) -> None:
        import logging
        import warnings

        logging.getLogger("mine").warning("one")
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
        logging.getLogger("mine").info("two")
        warnings.simplefilter("always")
        warnings.warn("three", stacklevel=1)

    async with af.Fabric("local://?processes=1") as fabric:
        call = fabric.submit(speak, 1)
        await call
    lines = call.logs.splitlines()
    assert lines[:2] == ["one", "INFO two"]
    assert "UserWarning: three" in lines[2]
    assert call.logs in capfd.readouterr().err


async def test_short_calls_behind_a_slow_one_run_elsewhere(tmp_path: Path) -> None:
    """They would wait for ever, and the slow one for them."""
    done = str(tmp_path / "done")

    def work(x: int) -> int:
        if x == 0:
            wait_until(lambda: len(marks(done)) == 49)
        else:
            mark(done)
        return os.getpid()

    async with af.Fabric("local://?processes=2") as fabric:
        pids = await fabric.map(work, range(50), chunksize=50)
    assert len(set(pids[1:]) - {pids[0]}) >= 1
    assert pids[0] not in pids[2:]  # at most the first was through before


async def test_cancelling_one_coroutine_leaves_the_others(tmp_path: Path) -> None:
    begun, cancelled, go = (str(tmp_path / name) for name in ("begun", "cancelled", "go"))

    async def work(x: int) -> tuple[int, int]:
        mark(begun)
        try:
            await happens(lambda: marks(go))
        except asyncio.CancelledError:
            mark(cancelled, str(x))
            raise
        return x, os.getpid()

    async with af.Fabric("local://?processes=1") as fabric:
        (pid,) = await fabric.map(_pid, [0])
        calls = [fabric.submit(work, x) for x in range(10)]
        await happens(lambda: len(marks(begun)) == 10)
        calls[4].cancel()
        await happens(lambda: marks(cancelled))
        mark(go)
        del calls[4]
        assert await asyncio.gather(*calls) == [(x, pid) for x in range(10) if x != 4]
        assert marks(cancelled) == "4"
        assert children() == [pid]
