"""Limits belong to a Fabric: concurrent maps share them, fairly."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.scheduling import Admission
from tests.api.until import passes, until, untyped
from tests.api.work import mark_and_wait_async, note, noted, square

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOCAL = "local://?processes=2"


async def crowd(directory: str, x: int) -> int:
    """Return how many of these calls run at once, this one included."""
    mark = Path(directory, f"in {x}")
    mark.touch()
    await asyncio.sleep(0.002)
    count = len(list(Path(directory).iterdir()))
    mark.unlink()
    return count


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
@pytest.mark.parametrize("limit", [1, 3])
async def test_many_maps_under_one_limit(backend: str, limit: int, tmp_path: Path) -> None:
    async with af.Fabric(backend, max_concurrency=limit) as fabric:
        other = fabric.with_options(weight=3)
        counts = await asyncio.gather(
            *(_counts(fabric, tmp_path, 20 * n, 20) for n in range(4)),
            *(_counts(other, tmp_path, 20 * n, 20) for n in range(4, 8)),
            *(fabric.submit(crowd, str(tmp_path), x) for x in range(200, 220)),
        )
        flat = [each if isinstance(each, list) else [each] for each in counts]
        assert max(max(each) for each in flat) <= limit


async def _counts(fabric: af.Fabric, directory: Path, first: int, count: int) -> list[int]:
    inputs = [(str(directory), x) for x in range(first, first + count)]
    return await fabric.starmap(crowd, inputs, chunksize=7)


async def test_a_map_shares_by_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """With weights 1 and 4, four of five launches are the second map's.

    That is, if its calls take as long as the other's; on a busy machine some don't.
    """
    monkeypatch.setattr(Admission, "corrected", _as_foreseen)
    async with af.Fabric("inline://", max_concurrency=1) as fabric:
        order: list[str] = []

        async def run(name: str, weight: float) -> None:
            view = fabric.with_options(weight=weight)
            async for _ in view.map(square, range(200), chunksize=1, ordered=False):
                order.append(name)  # noqa: PERF401 - as they come

        await asyncio.gather(run("light", 1), run("heavy", 4))
        heavy = order[: order.index("light") + 150].count("heavy")
        assert heavy > 90
        assert order.count("light") == order.count("heavy") == 200


def _as_foreseen(*_: object) -> None:
    """Charge nothing more."""


async def test_a_small_map_does_not_wait_for_a_large_one(local: af.Fabric) -> None:
    large = local.map(square, range(300_000)).start()
    waiting = asyncio.ensure_future(_wait(large))
    await until(lambda: large.stats.finished > 0)
    assert await local.map(square, range(10)) == [x * x for x in range(10)]
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def _wait(mapped: "af.Map[int]") -> list[int]:
    return await mapped


async def test_too_many_submits_are_refused(tmp_path: Path) -> None:
    async with af.Fabric("inline://", max_pending=3) as fabric:
        calls = [fabric.submit(mark_and_wait_async, str(tmp_path), x) for x in range(3)]
        with pytest.raises(af.Saturated, match=r"max_pending.*fabric\.map"):
            untyped(fabric).submit(square, 1)
        with pytest.raises(af.Saturated):
            untyped(fabric.with_options(timeout=9)).submit(square, 1)
        calls[0].cancel()
        one = fabric.submit(mark_and_wait_async, str(tmp_path), 3)
        with pytest.raises(af.Saturated):
            untyped(fabric).submit(square, 1)
        note(str(tmp_path), "go")
        assert await asyncio.gather(*calls[1:], one) == [1, 2, 3]
        assert await fabric.submit(square, 3) == 9


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_explicit_chunks_keep_the_limit(limit: int) -> None:
    async with af.Fabric(LOCAL, max_concurrency=limit) as fabric:
        work = fabric.map(square, range(100), chunksize=10)
        waiting = asyncio.ensure_future(_wait(work))
        most = 0
        while not waiting.done():
            most = max(most, work.stats.in_flight)
            await asyncio.sleep(0)
        assert 0 < most <= limit
        assert await waiting == [x * x for x in range(100)]


async def test_a_cancelled_call_gives_its_place_back(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL, max_concurrency=1) as fabric:
        for x in range(3):
            call = fabric.submit(mark_and_wait_async, str(tmp_path), x)
            await until(partial(_is_noted, tmp_path, x))
            call.cancel()
        assert await fabric.submit(square, 3) == 9
        await until(lambda: fabric._core.bind().in_flight == 0)


def _is_noted(directory: Path, x: int) -> bool:
    return str(x) in noted(directory)


async def test_a_waiting_input_holds_no_place(local: af.Fabric) -> None:
    gate = asyncio.Event()

    async def inputs() -> AsyncIterator[int]:
        yield 1
        await gate.wait()
        yield 2

    waiting = asyncio.ensure_future(_wait(local.map(square, inputs())))
    await passes()
    assert await local.map(square, range(100)) == [x * x for x in range(100)]
    gate.set()
    assert await waiting == [1, 4]
