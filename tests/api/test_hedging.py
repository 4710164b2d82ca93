"""Calls that take too long: copies, whose answer counts if it comes first."""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

import asyncfabric as af
from asyncfabric.backends.local import LocalBackend
from asyncfabric.reporting import Event, InvocationLaunched, WorkerLost
from tests.api.until import take, until
from tests.api.work import note, noted, square_async, wait_until_there

LOCAL = "local://?processes=3"
EAGER = af.Hedge(least=0.05)
CALLS = 150
SLOW = (74, 149)
HOURS = 3600.0


class Watcher:
    """Counts the copies that are made, and the workers that are stopped."""

    def __init__(self, fabric: af.Fabric) -> None:
        self.copies: list[int] = []
        self.lost = 0
        fabric._core.observers.append(self)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, InvocationLaunched) and event.copy:
            self.copies.append(event.flight)
        self.lost += isinstance(event, WorkerLost)


def hang_at_first(directory: str, hang: float, x: int) -> int:
    """Take some milliseconds; the first execution of two of the calls takes as long as is said."""
    note(directory, f"{x} begun")
    time.sleep(hang if _slow_at_first(directory, x) else 0.004)
    note(directory, f"{x} ended")
    return x


async def hang_at_first_async(directory: str, hang: float, x: int) -> int:
    """The same; it notes when it is cancelled."""
    note(directory, f"{x} begun")
    try:
        await asyncio.sleep(hang if _slow_at_first(directory, x) else 0.004)
    except asyncio.CancelledError:
        note(directory, f"{x} cancelled")
        raise
    return x


def _slow_at_first(directory: str, x: int) -> bool:
    return x in SLOW and not Path(directory, f"{x} begun.1").exists()


def soon(x: int) -> int:
    time.sleep(0.004)
    return x


def pid_at_second(directory: str, x: int) -> int:
    """Print and return the process; the first execution of two of the calls hangs."""
    hang_at_first(directory, HOURS, x)
    print(f"{x} in {os.getpid()}")
    return os.getpid()


def executions(directory: Path, what: str = "begun") -> dict[int, int]:
    counts = Counter[int]()
    for name, count in noted(directory).items():
        x, _, told = name.partition(" ")
        if told == what:
            counts[int(x)] = count
    return counts


# -- they win --------------------------------------------------------------------------------------
# Without the copies none of these would end within the limit of a test.


@pytest.mark.parametrize("chunksize", ["auto", 15])
async def test_copies_win_and_the_losers_are_stopped(
    chunksize: int | Literal["auto"], tmp_path: Path
) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        function = partial(hang_at_first, str(tmp_path), HOURS)
        results = await fabric.map(function, range(CALLS), chunksize=chunksize)
        assert results == list(range(CALLS))
        assert watcher.copies
        begun = executions(tmp_path)
        assert set(begun) == set(executions(tmp_path, "ended")) == set(range(CALLS))
        assert all(begun[x] >= 2 for x in SLOW)
        assert max(begun.values()) <= EAGER.copies
        assert await fabric.map(abs, range(-CALLS, 0)) == list(range(CALLS, 0, -1))
        # Each hanging one held a worker, which is killed.
        await until(lambda: watcher.lost >= len(SLOW))


async def test_coroutine_calls(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        # They all start at once: what cold workers take would be usual, and nothing late for long.
        await fabric.warm(3)
        await fabric.map(square_async, range(CALLS))
        function = partial(hang_at_first_async, str(tmp_path), HOURS)
        assert await fabric.map(function, range(CALLS)) == list(range(CALLS))
        assert all(executions(tmp_path)[x] >= 2 for x in SLOW)
        await until(lambda: set(executions(tmp_path, "cancelled")) >= set(SLOW))


async def test_submitted_calls_tell_of_the_attempt_that_won(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        calls = [fabric.submit(pid_at_second, str(tmp_path), x) for x in range(CALLS)]
        pids = await asyncio.gather(*calls)
        for x in SLOW:
            (attempt,) = calls[x].attempts
            assert (attempt.number, attempt.error) == (1, None)
            assert attempt.worker == f"process {pids[x]}"
            assert calls[x].logs == f"{x} in {pids[x]}\n"


async def test_a_stream_in_order_that_one_call_holds_up(tmp_path: Path) -> None:
    """There would be more to launch, but the buffer is full of what waits for that call."""
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        function = partial(hang_at_first, str(tmp_path), HOURS)
        async with fabric.map(function, itertools.count(), buffersize=30) as stream:
            taken = [await anext(stream) for _ in range(CALLS)]
        assert taken == list(range(CALLS))
        assert all(executions(tmp_path)[x] >= 2 for x in SLOW)


async def test_an_input_that_waits_for_the_result(tmp_path: Path) -> None:
    taken: list[int] = []

    async def ask() -> AsyncIterator[int]:
        for x in range(CALLS):
            yield x
            if x in SLOW:
                await until(partial(taken.__contains__, x))

    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        function = partial(hang_at_first, str(tmp_path), HOURS)
        await take(fabric.map(function, ask(), ordered=False), taken)
        assert sorted(taken) == list(range(CALLS))


# -- they are not made -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [af.Options(hedge=None), af.Options(hedge=EAGER, idempotent=False)]
)
async def test_none_where_they_are_not_wanted(options: af.Options, tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, **options) as fabric:
        await _runs_each_once(fabric, tmp_path)


class CannotTellCopiesApart(LocalBackend):
    """One that can't promise that the first answer wins: it doesn't say that it can."""

    traits = LocalBackend.traits._replace(copies=False)


async def test_none_where_the_backend_cannot(tmp_path: Path) -> None:
    async with af.Fabric(CannotTellCopiesApart(3), hedge=EAGER) as fabric:
        await _runs_each_once(fabric, tmp_path)


async def test_none_in_the_programs_own_process(tmp_path: Path) -> None:
    async with af.Fabric("inline://", hedge=EAGER) as fabric:
        await _runs_each_once(fabric, tmp_path)


async def _runs_each_once(fabric: af.Fabric, directory: Path) -> None:
    watcher = Watcher(fabric)
    for function in (hang_at_first, hang_at_first_async):
        where = directory / function.__name__
        where.mkdir()
        each = partial(function, str(where), 0.5)
        assert await fabric.map(each, range(CALLS)) == list(range(CALLS))
        assert set(executions(where).values()) == {1}
    assert watcher.copies == []


# -- when things go wrong --------------------------------------------------------------------------


async def test_the_last_copy_that_fails_decides(tmp_path: Path) -> None:
    """The copy fails while the original runs, and then the original does."""

    def fail_late(x: int) -> int:
        if x < CALLS - 1:
            return soon(x)
        note(str(tmp_path), "run")
        wait_until_there(tmp_path / "run.1")
        raise ValueError(x)

    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        results = await fabric.map(fail_late, range(CALLS), return_exceptions=True)
        assert results[:-1] == list(range(CALLS - 1))
        assert isinstance(results[-1], ValueError)
        assert noted(tmp_path)["run"] >= 2


async def test_a_copy_that_fails_does_no_harm_to_the_original(tmp_path: Path) -> None:
    def only_one_may(x: int) -> int:
        if x < CALLS - 1:
            return soon(x)
        try:
            (tmp_path / "lock").touch(exist_ok=False)
        except FileExistsError:
            note(str(tmp_path), "refused")
            raise
        wait_until_there(tmp_path / "refused.0")
        return x

    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        assert await fabric.map(only_one_may, range(CALLS)) == list(range(CALLS))


async def test_a_copy_whose_worker_is_killed(tmp_path: Path) -> None:
    """Its original goes on as if nothing had happened, and wins in the end."""

    def original_waits(x: int) -> int:
        if x < CALLS - 1:
            return soon(x)
        note(str(tmp_path), "run")
        if (tmp_path / "run.1").exists():
            note(str(tmp_path), f"copy {os.getpid()}")
            time.sleep(HOURS)
        wait_until_there(tmp_path / "go")
        return x

    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        task = asyncio.ensure_future(_collect(fabric.map(original_waits, range(CALLS))))
        await until(lambda: list(tmp_path.glob("copy*")))
        copy = next(tmp_path.glob("copy*"))
        os.kill(int(copy.stem.split()[1]), signal.SIGKILL)
        await until(lambda: watcher.lost)
        assert not task.done()
        (tmp_path / "go").touch()
        assert await task == list(range(CALLS))


async def _collect(mapped: "af.Map[int]") -> list[int]:
    return await mapped


async def test_closing_with_copies_under_way(tmp_path: Path) -> None:
    def hang(x: int) -> int:
        if x < CALLS - 1:
            return soon(x)
        note(str(tmp_path), "run")
        time.sleep(HOURS)
        return x

    fabric = af.Fabric(LOCAL, hedge=EAGER)
    taken: list[int] = []
    task = asyncio.ensure_future(take(fabric.map(hang, range(CALLS)), taken))
    await until(lambda: noted(tmp_path).get("run", 0) > 1)
    await fabric.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await task
    assert taken == list(range(CALLS - 1))


async def test_a_map_that_is_dropped_leaves_no_copy(tmp_path: Path) -> None:
    function = partial(hang_at_first, str(tmp_path), HOURS)
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        async for x in fabric.map(function, range(CALLS), ordered=False):
            if watcher.copies:
                break
            assert x < CALLS
        assert await fabric.map(abs, [-1]) == [1]
        assert fabric._core.bind()._late == {}


# -- what they are made of ------------------------------------------------------------------------


async def test_progress_is_told(tmp_path: Path) -> None:
    """By its own word a call will take an hour; it hangs, and its copy doesn't."""

    def tell(x: int) -> int:
        mark = Path(tmp_path, str(x))
        here = af.current()
        slow = x == CALLS - 1 and not mark.exists()
        mark.touch()
        for step in range(1, 4):
            time.sleep(0.12 if slow else 0.001)
            here.progress(step / 1e5 if slow else step / 4)
        time.sleep(3600.0 if slow else 0.0)
        return x

    async with af.Fabric(LOCAL, hedge=af.Hedge(least=0.05)) as fabric:
        watcher = Watcher(fabric)
        assert await fabric.map(tell, range(CALLS)) == list(range(CALLS))
        assert len(watcher.copies) >= 1


async def test_progress_makes_sense() -> None:
    def tell(fraction: float) -> str:
        try:
            af.current().progress(fraction)
        except ValueError as error:
            return str(error)
        return ""

    for backend in ("inline://", LOCAL):
        async with af.Fabric(backend) as fabric:
            told = await fabric.map(tell, [0.0, 0.5, 1.0, -0.1, 1.1, float("nan")])
        assert told[:3] == ["", "", ""]
        assert all("from 0 to 1" in each for each in told[3:])


@pytest.mark.parametrize("wrong", [{"hedge": 2.0}, {"limit": 5}])
async def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(af.ConfigurationError, match=next(iter(wrong))):
        af.Fabric("inline://", **wrong)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def hang_then_raise(directory: str, x: int) -> int:
    """The first execution of a call hangs, and each further one raises."""
    note(directory, f"{x} begun")
    if x in SLOW:
        if _slow_at_first(directory, x):
            time.sleep(HOURS)
        raise ValueError(x)
    time.sleep(0.004)
    return x


async def test_a_call_whose_copies_all_raise_ends_with_that(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        inputs = ((str(tmp_path), x) for x in range(CALLS))
        results = await fabric.starmap(hang_then_raise, inputs, chunksize=1, return_exceptions=True)
    assert [x for x, each in enumerate(results) if isinstance(each, ValueError)] == [*SLOW]
