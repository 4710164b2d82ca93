"""A program cancelled after any number of passes of its loop leaks nothing."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import gone, until, untyped
from tests.api.work import (
    mark_and_wait,
    mark_and_wait_async,
    note,
    noted,
    odd_fails,
    pid,
    square,
    square_async,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _inputs() -> AsyncIterator[int]:
    for x in range(5):
        yield x
        await asyncio.sleep(0)


async def program(fabric: af.Fabric) -> None:
    """Go through every kind of waiting there is."""
    await fabric.submit(square, 3)
    await fabric.map(square_async, range(10), chunksize=3)
    async for _ in fabric.map(square, _inputs(), ordered=False):
        await asyncio.sleep(0)
    async with fabric.map(square, range(20), buffersize=3) as stream:
        async for _ in stream:
            break
    async for _ in af.as_completed(fabric.map(odd_fails, range(4))):
        pass
    ref = await fabric.put([1, 2])
    await fabric.map(_add, [1], shared={"values": ref})
    await af.gather(fabric.submit(square, 1), fabric.submit(square_async, 2))


def _add(x: int, *, values: list[int]) -> int:
    return x + sum(values)


async def _cancel_after(passes: int, work: "asyncio.Task[None]") -> bool:
    for _ in range(passes):
        await asyncio.sleep(0)
    cancelled = work.cancel()
    await asyncio.wait([work])
    return cancelled and work.cancelled()


def _no_more_than(tasks: "set[asyncio.Task[Any]]") -> bool:
    return asyncio.all_tasks() <= tasks


@pytest.mark.leaky("on a busy machine a cancelled call may cost its worker, which is replaced")
async def test_cancelled_anywhere(fabric: af.Fabric) -> None:
    dispatcher = fabric._core.bind()
    cancelled = passes = 0
    while passes < 4000:
        tasks = asyncio.all_tasks()
        if await _cancel_after(passes, asyncio.ensure_future(program(fabric))):
            cancelled += 1
        elif cancelled:
            break
        await until(lambda: dispatcher.in_flight == 0)
        await until(partial(_no_more_than, tasks))
        assert all(not untyped(run.delivery).calls for run in dispatcher.runs)
        passes = passes + 1 if passes < 60 else passes * 5 // 4
    assert cancelled > 20
    assert await fabric.map(square, range(10)) == [x * x for x in range(10)]


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 400])
async def test_cancelled_while_it_opens_or_closes(passes: int) -> None:
    found: list[int] = []

    async def whole() -> None:
        async with af.Fabric("local://?processes=2") as fabric:
            found.extend(await fabric.map(pid, range(3)))

    await _cancel_after(passes, asyncio.ensure_future(whole()))
    assert all(map(gone, found))  # the leak check sees the workers that were never asked


@pytest.mark.parametrize("passes", [1, 2, 3])
async def test_a_cancelled_close_ends_when_the_workers_have(passes: int) -> None:
    found: list[int] = []
    leaving = asyncio.Event()

    async def whole() -> None:
        async with af.Fabric("local://?processes=2") as fabric:
            found.extend(await fabric.map(pid, range(3)))
            leaving.set()

    work = asyncio.ensure_future(whole())
    await leaving.wait()
    assert await _cancel_after(passes, work)
    assert all(map(gone, found))


async def test_no_result_after_a_cancel(fabric: af.Fabric) -> None:
    calls = [fabric.submit(square, x) for x in range(100)]
    for call in calls:
        call.cancel()
    await fabric.map(square, range(100))
    assert all(call.cancelled() for call in calls)


async def test_a_running_call_is_stopped_and_its_neighbours_lose_nothing(
    own: af.Fabric, tmp_path: Path
) -> None:
    before = set[int]()
    while len(before) < 2:  # both have started
        before |= set(await own.map(pid, range(64), chunksize=1))
    stuck = own.submit(mark_and_wait, str(tmp_path), 0)
    others = [own.submit(square, x) for x in range(200)]
    await until(lambda: noted(tmp_path))
    stuck.cancel()
    assert await asyncio.gather(*others) == [x * x for x in range(200)]
    await until(lambda: any(map(gone, before)))
    assert sum(map(gone, before)) == 1
    after = set[int]()
    while len(after) < 2:
        after |= set(await own.map(pid, range(64), chunksize=1))
    assert len(after & before) == 1
    assert noted(tmp_path) == {"0": 1}


async def test_coroutine_calls_see_the_cancel(fabric: af.Fabric, tmp_path: Path) -> None:
    calls = [fabric.submit(mark_and_wait_async, str(tmp_path), x) for x in range(4)]
    await until(lambda: len(noted(tmp_path)) == 4)
    calls[1].cancel()
    await until(lambda: "cancelled 1" in noted(tmp_path))
    note(str(tmp_path), "go")
    assert await asyncio.gather(*calls[:1], *calls[2:]) == [0, 2, 3]
    assert {name for name in noted(tmp_path) if name.startswith("cancelled")} == {"cancelled 1"}


async def test_one_that_will_not_be_cancelled(own: af.Fabric, tmp_path: Path) -> None:
    stubborn = own.submit(_ignore_cancel, str(tmp_path))
    await until(lambda: noted(tmp_path))
    stubborn.cancel()
    await until(lambda: own._core.bind().in_flight == 0)
    assert await own.map(square, range(10)) == [x * x for x in range(10)]
    assert stubborn.cancelled()


async def _ignore_cancel(directory: str) -> None:
    note(directory, "begun")
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def test_a_cancelled_map_stops_its_workers(own: af.Fabric, tmp_path: Path) -> None:
    inputs: list[Any] = [(str(tmp_path), x) for x in range(10)]
    waiter = asyncio.ensure_future(_wait(own.starmap(mark_and_wait, inputs, chunksize=5)))
    await until(lambda: len(noted(tmp_path)) == 2)
    waiter.cancel()
    await asyncio.wait([waiter])
    await until(lambda: own._core.bind().in_flight == 0)
    assert len(noted(tmp_path)) == 2
    assert await own.map(square, range(10)) == [x * x for x in range(10)]


async def _wait(mapped: "af.Map[int]") -> list[int]:
    return await mapped


async def test_a_call_cancelled_while_its_input_is_pickled_never_runs(
    own: af.Fabric, tmp_path: Path
) -> None:
    large = [float(x) for x in range(400_000)]  # past what is pickled on the loop
    assert await own.submit(_note_and_measure, str(tmp_path), [1.0]) == 1
    doomed = own.submit(_note_and_measure, str(tmp_path), large)
    other = own.submit(_note_and_measure, str(tmp_path), large[:3])
    doomed.cancel()
    assert await other == 3
    dispatcher = own._core.bind()
    await until(lambda: not dispatcher.in_flight)
    assert sorted(noted(tmp_path)) == ["1", "3"]


def _note_and_measure(path: str, values: list[float]) -> int:
    note(path, len(values))
    return len(values)
