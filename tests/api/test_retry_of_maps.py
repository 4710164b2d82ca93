"""After a failure or a cancel, a Map keeps its work; retry() runs only what is unfinished."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import take, until, untyped
from tests.api.work import note, noted, wait_until_there

pytestmark = pytest.mark.asyncio(loop_scope="module")


def once_there(directory: str, bad: tuple[int, ...], x: int) -> int:
    """Note the run; the bad ones fail until there is a file `mended`."""
    note(directory, x)
    if x in bad and not Path(directory, "mended").exists():
        raise ValueError(f"not yet: {x}")
    return 10 * x


async def once_there_async(directory: str, bad: tuple[int, ...], x: int) -> int:
    return once_there(directory, bad, x)


def _inputs(directory: Path, *bad: int, count: int = 20) -> list[tuple[str, tuple[int, ...], int]]:
    return [(str(directory), bad, x) for x in range(count)]


def mend(directory: Path) -> None:
    (directory / "mended").touch()


def runs(directory: Path) -> dict[int, int]:
    return {int(name): count for name, count in noted(directory).items() if name}


functions = pytest.mark.parametrize("function", [once_there, once_there_async])
chunks = pytest.mark.parametrize("chunksize", [1, 3, "auto"])


@functions
@chunks
async def test_an_awaited_map(
    fabric: af.Fabric, tmp_path: Path, function: Any, chunksize: Any
) -> None:
    work = fabric.starmap(function, _inputs(tmp_path, 5), chunksize=chunksize)
    with pytest.raises(ValueError, match="not yet: 5"):
        await work
    finished, before = work.finished(), runs(tmp_path)
    assert all(value == 10 * index for index, value in finished.items())
    assert list(work.failed()) == [5]
    assert str(work.failed()[5]) == "not yet: 5"
    mend(tmp_path)
    assert await work.retry() == [10 * x for x in range(20)]
    after = runs(tmp_path)
    assert all(after[index] == before[index] == 1 for index in finished)
    assert sorted(after) == list(range(20))
    assert work.failed() == {}
    assert work.finished() == {x: 10 * x for x in range(20)}


@functions
@chunks
async def test_an_ordered_stream(
    fabric: af.Fabric, tmp_path: Path, function: Any, chunksize: Any
) -> None:
    stream = fabric.starmap(function, _inputs(tmp_path, 5), chunksize=chunksize)
    taken: list[int] = []
    with pytest.raises(ValueError, match="not yet: 5"):
        await take(stream, taken)
    assert taken == [0, 10, 20, 30, 40]
    finished = stream.finished()
    assert all(index > 5 and value == 10 * index for index, value in finished.items())
    mend(tmp_path)
    await take(stream.retry(), taken)
    assert taken == [10 * x for x in range(20)]
    after = runs(tmp_path)
    assert all(after[index] == 1 for index in [*range(5), *finished])
    assert sorted(after) == list(range(20))


@functions
@chunks
async def test_an_unordered_stream(
    fabric: af.Fabric, tmp_path: Path, function: Any, chunksize: Any
) -> None:
    stream = fabric.starmap(function, _inputs(tmp_path, 5), chunksize=chunksize, ordered=False)
    taken: list[int] = []
    with pytest.raises(ValueError, match="not yet: 5"):
        await take(stream, taken)
    finished = [*taken, *stream.finished().values()]
    mend(tmp_path)
    await take(stream.retry(), taken)
    assert sorted(taken) == [10 * x for x in range(20)]
    after = runs(tmp_path)
    assert all(after[value // 10] == 1 for value in finished)


@chunks
@pytest.mark.parametrize("ordered", [True, False])
async def test_exceptions_that_were_returned(
    fabric: af.Fabric, tmp_path: Path, chunksize: Any, ordered: bool
) -> None:
    inputs = _inputs(tmp_path, 3, 7, 11)
    awaited = fabric.starmap(once_there, inputs, return_exceptions=True, chunksize=chunksize)
    results = await awaited
    assert [index for index, value in enumerate(results) if isinstance(value, ValueError)] == [
        3,
        7,
        11,
    ]
    stream = fabric.starmap(
        once_there, inputs, return_exceptions=True, ordered=ordered, chunksize=chunksize
    )
    assert len([value async for value in stream]) == 20
    assert sorted(awaited.failed()) == sorted(stream.failed()) == [3, 7, 11]
    assert 3 not in awaited.finished()
    mend(tmp_path)
    assert await awaited.retry() == [10 * x for x in range(20)]
    assert sorted([x async for x in stream.retry()], key=str) == [110, 30, 70]
    assert runs(tmp_path) == {x: 4 if x in (3, 7, 11) else 2 for x in range(20)}


async def test_two_failures_of_an_ordered_stream(own: af.Fabric, tmp_path: Path) -> None:
    stream = own.starmap(late_and_early, [(str(tmp_path), x) for x in range(6)], chunksize=1)
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: stream.stats.failed == 1)
    (tmp_path / "seen").touch()
    with pytest.raises(ValueError, match="not yet: 0"):
        await first
    assert {*stream.failed()} == {0, 1}
    mend(tmp_path)
    assert [x async for x in stream.retry()] == [0, 1, 2, 3, 4, 5]


def late_and_early(directory: str, x: int) -> int:
    """Fail at 0, after 1 has failed, until mended."""
    if x < 2 and not Path(directory, "mended").exists():
        if x == 0:
            wait_until_there(Path(directory, "seen"))
        raise ValueError(f"not yet: {x}")
    return x


async def test_as_completed_again(fabric: af.Fabric, tmp_path: Path) -> None:
    work = fabric.starmap(once_there, _inputs(tmp_path, 3, 7), chunksize=1)
    calls = [call async for call in af.as_completed(work)]
    assert [call.index for call in calls] == list(range(20))
    assert [call.index for call in calls if call.exception()] == [3, 7]
    mend(tmp_path)
    again = [call async for call in af.as_completed(work.retry())]
    assert [(call.index, call.result()) for call in again] == [(3, 30), (7, 70)]


async def test_after_a_cancel(fabric: af.Fabric, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def inputs() -> AsyncIterator[tuple[str, tuple[int, ...], int]]:
        for each in _inputs(tmp_path, count=10):
            yield each
        await gate.wait()
        yield (str(tmp_path), (), 10)

    work = fabric.starmap(once_there, inputs())
    waiter = asyncio.ensure_future(_wait(work))
    await until(lambda: work.stats.finished == 10)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert work.finished() == {x: 10 * x for x in range(10)}
    gate.set()
    assert await work.retry() == [10 * x for x in range(11)]
    assert runs(tmp_path) == dict.fromkeys(range(11), 1)


async def _wait(work: "af.Map[int]") -> list[int]:
    return await work


async def test_it_fails_again(fabric: af.Fabric, tmp_path: Path) -> None:
    work = fabric.starmap(once_there, _inputs(tmp_path, 5))
    for _ in range(3):
        with pytest.raises(ValueError, match="not yet: 5"):
            await work
        untyped(work).retry()
    with pytest.raises(RuntimeError, match="still running"):
        untyped(work).retry()
    with pytest.raises(ValueError, match="not yet: 5"):
        await work
    with pytest.raises(ValueError, match="not yet: 5"):
        await work  # without retry() it is as it was


async def test_of_what_was_never_started_or_is_closed(fabric: af.Fabric, tmp_path: Path) -> None:
    unused = fabric.starmap(once_there, _inputs(tmp_path, count=2))
    assert (unused.finished(), unused.failed()) == ({}, {})
    assert await unused.retry() == [0, 10]
    await unused.aclose()
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        untyped(unused).retry()


@pytest.mark.parametrize("chunksize", [1, "auto"])
async def test_after_the_input_has_failed_it_is_not_taken_for_complete(
    fabric: af.Fabric, tmp_path: Path, chunksize: Any
) -> None:
    def inputs() -> Iterator[tuple[str, tuple[int, ...], int]]:
        yield from _inputs(tmp_path, count=5)
        raise OSError("the disk is gone")

    work = fabric.starmap(once_there, inputs(), chunksize=chunksize)
    with pytest.raises(OSError, match="the disk is gone"):
        await work
    assert work.stats.read == 5
    with pytest.raises(OSError, match="the disk is gone"):
        await work.retry()
    assert work.finished() == {x: 10 * x for x in range(5)}
    assert set(runs(tmp_path)) == set(range(5))


async def test_the_buffer_keeps_its_size_after_a_retry(fabric: af.Fabric, tmp_path: Path) -> None:
    read: list[int] = []

    def inputs() -> Iterator[tuple[str, tuple[int, ...], int]]:
        for each in _inputs(tmp_path, 2):
            read.append(1)
            yield each

    stream = fabric.starmap(once_there, inputs(), buffersize=4, chunksize=1)
    values: list[int] = []
    with pytest.raises(ValueError, match="not yet"):
        await take(stream, values)
    taken = len(values)
    mend(tmp_path)
    untyped(stream).retry()
    for _ in range(6):
        await anext(stream)
        taken += 1
        await until(lambda: stream.stats.finished == len(read))
        assert len(read) <= taken + 4
