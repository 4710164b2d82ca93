"""Calls that take too long: copies, whose answer counts if it comes first."""

import asyncio
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.reporting import Event, InvocationLaunched, WorkerLost
from tests.api.until import until

LOCAL = "local://?processes=3"
EAGER = af.Hedge(least=0.05)
CALLS = 150


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


def _note(directory: str, name: str) -> None:
    Path(directory, f"{name} {os.getpid()} {time.monotonic_ns()}").touch()


def _slow_at_first(directory: str, hang: float, x: int) -> int:
    """Take some milliseconds; of two calls, the first execution takes much longer."""
    slow = x % 75 == 74
    first = slow and not list(Path(directory).glob(f"{x} begun*"))
    _note(directory, f"{x} begun")
    time.sleep(hang if first else 0.004)
    _note(directory, f"{x} ended")
    return x


def _executions(directory: Path, what: str) -> Counter[int]:
    return Counter(int(path.name.split()[0]) for path in directory.glob(f"* {what} *"))


async def test_copies_win_and_the_losers_are_stopped(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        # Without the copies it would not end within the limit of a test.
        function = partial(_slow_at_first, str(tmp_path), 3600.0)
        assert await fabric.map(function, range(CALLS)) == list(range(CALLS))
        assert watcher.copies
        begun, ended = _executions(tmp_path, "begun"), _executions(tmp_path, "ended")
        assert set(begun) == set(range(CALLS))
        assert all(begun[x] >= 2 for x in (74, 149))
        assert max(begun.values()) <= 3
        assert set(ended) == set(range(CALLS))
        assert await fabric.map(abs, range(-CALLS, 0)) == list(range(CALLS, 0, -1))
        # Each hanging one held a worker, which is killed.
        await until(lambda: watcher.lost >= 2)


@pytest.mark.parametrize(
    "options", [af.Options(hedge=None), af.Options(hedge=EAGER, idempotent=False)]
)
async def test_none_where_they_are_not_wanted(options: af.Options, tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, **options) as fabric:
        watcher = Watcher(fabric)
        function = partial(_slow_at_first, str(tmp_path), 0.5)
        assert await fabric.map(function, range(CALLS)) == list(range(CALLS))
        assert watcher.copies == []
        assert set(_executions(tmp_path, "begun").values()) == {1}


async def test_none_where_the_backend_cannot() -> None:
    async def wait(x: int) -> int:
        await asyncio.sleep(0.3 if x == CALLS - 1 else 0.001)
        return x

    async with af.Fabric("inline://", hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        assert await fabric.map(wait, range(CALLS)) == list(range(CALLS))
        assert watcher.copies == []


async def test_the_last_copy_that_fails_decides(tmp_path: Path) -> None:
    """The copy fails while the original runs, and then the original does."""

    def fail_late(x: int) -> int:
        if x < CALLS - 1:
            return x
        directory = Path(tmp_path)
        (directory / str(os.getpid())).touch()
        while len(list(directory.iterdir())) < 2:
            time.sleep(0.001)
        raise ValueError(x)

    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        results = await fabric.map(fail_late, range(CALLS), return_exceptions=True)
        assert results[:-1] == list(range(CALLS - 1))
        assert isinstance(results[-1], ValueError)
        assert len(watcher.copies) >= 1


async def test_a_map_that_is_dropped_leaves_no_copy(tmp_path: Path) -> None:
    function = partial(_slow_at_first, str(tmp_path), 3600.0)
    async with af.Fabric(LOCAL, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        async for x in fabric.map(function, range(CALLS), ordered=False):
            if watcher.copies:
                break
            assert x < CALLS
        assert await fabric.map(abs, [-1]) == [1]
    assert fabric._core._dispatcher is not None
    assert fabric._core._dispatcher._late == {}


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
