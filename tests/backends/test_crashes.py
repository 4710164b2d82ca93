"""Calls that end their worker: only they are charged, and nothing else is lost."""

import ctypes
import gc
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.backends.helpers import children, happens, mark, marks

DEATHS: dict[str, tuple[Callable[[], object], str]] = {
    "SIGKILL": (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    "SIGTERM": (lambda: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
    "segfault": (lambda: ctypes.string_at(0), "SIGSEGV"),
    "abort": (os.abort, "SIGABRT"),
    "exit": (lambda: os._exit(3), "status 3"),
    "exit 0": (lambda: os._exit(0), "status 0"),
    "exit 75": (lambda: os._exit(75), "status 75"),  # what a worker ends itself with
}


@pytest.mark.parametrize("how", DEATHS)
async def test_a_poisonous_input_is_named_and_all_others_are_answered(
    tmp_path: Path, how: str
) -> None:
    ran = str(tmp_path / "ran")

    def work(x: int) -> int:
        mark(ran, f"{x} ")
        if x == 17:
            DEATHS[how][0]()
        return -x

    retry = af.Retry(attempts=2, base=0)
    async with af.Fabric("local://?processes=2", retry=retry) as fabric:
        before = set(await fabric.map(_pid, range(50)))
        results = await fabric.map(work, range(40), return_exceptions=True, chunksize=8)
        assert await fabric.map(abs, range(10)) == list(range(10))
        assert len(children()) == 2
        assert set(children()) != before
    error = results.pop(17)
    assert isinstance(error, af.WorkerCrashed)
    assert DEATHS[how][1] in str(error)
    assert any("call 17 " in note and "input 17" in note for note in error.__notes__)
    assert results == [-x for x in range(40) if x != 17]
    times = Counter(map(int, marks(ran).split()))
    assert times[17] == 2
    assert set(times) == set(range(40))


def _pid(_: int) -> int:
    return os.getpid()


async def test_only_the_running_call_is_charged(tmp_path: Path) -> None:
    died = str(tmp_path / "died")

    def work(x: int) -> int:
        if x == 10 and not marks(died):
            mark(died)
            os._exit(3)
        return x

    attempts: dict[int, int] = {}
    retry = af.Retry(base=0)
    async with af.Fabric("local://?processes=1", retry=retry) as fabric:
        async for call in af.as_completed(fabric.map(work, range(20), chunksize=20)):
            assert call.result() == call.index
            attempts[call.index] = len(call.attempts)
    assert attempts.pop(10) == 2
    assert set(attempts.values()) == {1}


async def test_calls_that_may_not_run_twice_do_not(tmp_path: Path) -> None:
    ran = str(tmp_path / "ran")

    def work(x: int) -> int:
        mark(ran, f"{x} ")
        if x in (3, 11):
            os._exit(3)
        return x

    async with af.Fabric("local://?processes=2", idempotent=False) as fabric:
        results = await fabric.map(work, range(20), return_exceptions=True, chunksize=10)
    assert [x for x, each in enumerate(results) if isinstance(each, af.WorkerCrashed)] == [3, 11]
    assert sorted(map(int, marks(ran).split())) == list(range(20))


@pytest.mark.parametrize("error", [SystemExit(3), SystemExit(), KeyboardInterrupt()])
async def test_sys_exit_is_an_error_of_the_call(error: BaseException) -> None:
    def leave(_: int) -> int:
        raise error

    async with af.Fabric("local://?processes=1") as fabric:
        (pid,) = await fabric.map(_pid, [0])
        with pytest.raises(af.RemoteError, match=type(error).__name__):
            await fabric.map(leave, [1])
        assert await fabric.map(_pid, [0]) == [pid]


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is kept on Linux only")
async def test_out_of_memory_in_python_is_the_users_error() -> None:
    def hungry(x: int) -> int:
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, hard))
        try:
            return len(bytearray((4 << 30) + x))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    async with af.Fabric("local://?processes=1") as fabric:
        with pytest.raises(MemoryError) as caught:
            await fabric.submit(hungry, 1)
        assert not isinstance(caught.value, af.OutOfMemory)
        assert await fabric.submit(abs, -1) == 1


class KillsOnLoad:
    """A function that ends whoever unpickles it."""

    def __call__(self, x: int) -> int:
        return x

    def __reduce__(self) -> Any:
        return os._exit, (4,)


async def test_a_function_that_kills_while_it_is_loaded() -> None:
    retry = af.Retry(attempts=2, base=0)
    async with af.Fabric("local://?processes=1", retry=retry) as fabric:
        with pytest.raises(af.WorkerCrashed, match="status 4"):
            await fabric.map(KillsOnLoad(), range(3))
        assert await fabric.submit(abs, -1) == 1


class KillsOnPickling:
    def __reduce__(self) -> Any:
        os._exit(5)


@pytest.mark.parametrize("by", ["value", "ref"])
async def test_a_result_that_kills_while_it_is_pickled(by: Any) -> None:
    def work(x: int) -> Any:
        return KillsOnPickling() if x == 3 else [x]

    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        results = await fabric.map(work, range(6), return_exceptions=True, chunksize=6, results=by)
        assert isinstance(results[3], af.WorkerCrashed)
        assert "status 5" in str(results[3])
        assert [x for x in range(6) if isinstance(results[x], Exception)] == [3]


async def test_complex_numbers_kill_nobody() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        assert await fabric.map(abs, [3 + 4j, (1 + 0j)]) == [5, 1]
        assert await fabric.map(complex, [1, 2]) == [1 + 0j, 2 + 0j]


async def test_an_interpreter_that_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    async with af.Fabric("local://?processes=2") as fabric:
        with pytest.raises(af.WorkerCrashed, match="workers died one after another"):
            await fabric.map(abs, range(3))
        with pytest.raises(af.WorkerCrashed):
            await fabric.submit(abs, 1)


async def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with af.Fabric("local://?processes=2") as fabric:
        with pytest.raises(af.WorkerCrashed, match="can't be started"):
            await fabric.map(abs, range(3))
    gc.collect()  # a socket that was not closed would warn here


async def test_a_sitecustomize_that_exits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marked = tmp_path / "started"
    (tmp_path / "sitecustomize.py").write_text(
        f"import os\nopen({str(marked)!r}, 'a').write('x')\nos._exit(1)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with af.Fabric("local://?processes=1") as fabric:
        with pytest.raises(af.WorkerCrashed, match="driver's standard error"):
            await fabric.map(abs, range(3))
    assert len(marks(marked)) == 6  # the first, and five more


@pytest.mark.parametrize("seed", [1, 2])
async def test_workers_killed_at_random(seed: int) -> None:
    """Every result exactly once and right, whoever is killed whenever."""
    chance = random.Random(seed)
    count, kills = 20_000, 12
    moments = set(chance.sample(range(count), kills))
    found: list[int] = []
    killed = 0
    retry = af.Retry(attempts=20, base=0)
    async with af.Fabric("local://?processes=2", retry=retry) as fabric:
        async for value in fabric.map(_square, range(count), ordered=bool(seed % 2)):
            if len(found) in moments:
                await happens(children)
                if victims := children():
                    os.kill(chance.choice(victims), chance.choice(_SIGNALS))
                    killed += 1
            found.append(value)
    assert killed > kills // 2
    if not seed % 2:
        found.sort()
    assert found == [x * x for x in range(count)]


_SIGNALS = [signal.SIGKILL, signal.SIGTERM]


def _square(x: int) -> int:
    return x * x


async def test_calls_that_close_the_workers_sockets_end_with_their_attempts() -> None:
    def work(x: int) -> int:
        if x == 2:
            os.closerange(3, 100)  # quickly: before results are due to be sent
        return x

    retry = af.Retry(attempts=2, base=0)
    async with af.Fabric("local://?processes=1", retry=retry) as fabric:
        results = await fabric.map(work, range(4), return_exceptions=True, chunksize=1)
        assert await fabric.submit(abs, -1) == 1
    assert isinstance(results.pop(2), af.WorkerCrashed)
    assert results == [0, 1, 3]


async def test_a_poisonous_coroutine_does_not_take_the_others_along() -> None:
    async def work(x: int) -> int:
        if x == 5:
            os._exit(3)
        return x

    retry = af.Retry(attempts=3, base=0)
    async with af.Fabric("local://?processes=1", retry=retry) as fabric:
        results = await fabric.map(work, range(12), return_exceptions=True, chunksize=4)
    assert [x for x in range(12) if isinstance(results[x], Exception)] == [5]
