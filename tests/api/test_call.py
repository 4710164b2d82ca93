"""A Call is an asyncio.Future."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import anyio
import pytest

import asyncfabric as af
from tests.api.until import passes, until
from tests.api.work import fail, mark_and_wait, mark_and_wait_async, noted, square, square_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_it_is_a_future(fabric: af.Fabric) -> None:
    call = fabric.submit(square, 3)
    assert isinstance(call, asyncio.Future)
    assert asyncio.isfuture(call)
    assert not call.done()
    assert await call == 9
    assert await call == 9
    assert call.done()
    assert call.result() == 9


async def test_await_of_many_kinds(fabric: af.Fabric) -> None:
    def submit(x: int) -> af.Call[int]:
        return fabric.submit(square, x)

    assert await asyncio.gather(*map(submit, (1, 2))) == [1, 4]
    done, pending = await asyncio.wait([submit(3), submit(4)])
    assert ({call.result() for call in done}, pending) == ({9, 16}, set())
    assert await asyncio.wait_for(submit(5), 30) == 25
    async with asyncio.timeout(30):
        assert await submit(6) == 36
    assert await asyncio.shield(submit(7)) == 49
    assert sorted([await each for each in asyncio.as_completed([submit(8), submit(9)])]) == [64, 81]


async def test_task_groups(fabric: af.Fabric) -> None:
    results: list[int] = []

    async def wait(x: int) -> None:
        results.append(await fabric.submit(square_async, x))

    async with asyncio.TaskGroup() as group:
        for x in range(3):
            group.create_task(wait(x))
    async with anyio.create_task_group() as nursery:
        for x in range(3):
            nursery.start_soon(wait, x)
    assert sorted(results) == [0, 0, 1, 1, 4, 4]


async def test_done_callbacks(fabric: af.Fabric) -> None:
    seen: list[Any] = []
    call = fabric.submit(square, 2)
    call.add_done_callback(seen.append)
    await call
    await passes()
    assert seen == [call]


async def test_index_and_input(fabric: af.Fabric) -> None:
    call = fabric.submit(square, 4)
    again = fabric.submit(square, x=5)
    assert call.input == (4,)
    assert again.input == ((), {"x": 5})
    assert await again == 25
    assert (await fabric.map(square, [2])) == [4]
    await call
    assert fabric.submit(square, 6).index == call.index + 1


@pytest.mark.parametrize("function", [mark_and_wait, mark_and_wait_async])
async def test_cancelling_it_cancels_it_for_every_awaiter(
    own: af.Fabric, tmp_path: Path, function: Any
) -> None:
    call = own.submit(function, str(tmp_path), 1)
    waiters = [asyncio.ensure_future(_wait(call)) for _ in range(3)]
    await until(lambda: noted(tmp_path))
    assert call.cancel()
    assert call.cancelled()
    assert not call.cancel()
    done, _ = await asyncio.wait(waiters)
    assert all(waiter.cancelled() for waiter in done)
    # No result comes later, and whoever comes next is served.
    assert await own.submit(square, 3) == 9
    assert call.cancelled()


async def _wait(call: "af.Call[int]") -> int:
    return await call


async def test_cancelling_an_awaiter_cancels_the_call_unless_shielded(
    inline: af.Fabric, tmp_path: Path
) -> None:
    call = inline.submit(mark_and_wait_async, str(tmp_path), 1)
    shielded = asyncio.ensure_future(_shielded(call))
    await until(lambda: noted(tmp_path))
    shielded.cancel()
    await asyncio.wait([shielded])
    assert not call.done()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.01)
    assert call.cancelled()
    await until(lambda: "cancelled 1" in noted(tmp_path))


async def _shielded(call: "af.Call[int]") -> int:
    return await asyncio.shield(call)


async def test_a_timeout_cancels_what_it_waits_for(inline: af.Fabric, tmp_path: Path) -> None:
    call = inline.submit(mark_and_wait_async, str(tmp_path), 1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await call
    assert call.cancelled()


async def test_a_group_that_fails_cancels_its_calls(local: af.Fabric, tmp_path: Path) -> None:
    waiting = local.submit(mark_and_wait_async, str(tmp_path), 1)

    async def wait(call: "af.Call[Any]") -> None:
        await call

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wait(waiting))
            await until(lambda: noted(tmp_path))
            group.create_task(wait(local.submit(fail, 1)))

    with pytest.raises(ExceptionGroup) as caught:
        await together()
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert waiting.cancelled()
    await until(lambda: "cancelled 1" in noted(tmp_path))


async def test_a_cancelled_call_that_waits_never_runs(fabric: af.Fabric, tmp_path: Path) -> None:
    calls = [fabric.submit(note_and_return, str(tmp_path), x) for x in range(50)]
    for call in calls[::2]:
        call.cancel()
    assert await asyncio.gather(*calls[1::2]) == list(range(1, 50, 2))
    assert set(noted(tmp_path)) == {str(x) for x in range(1, 50, 2)}


def note_and_return(directory: str, x: int) -> int:
    from tests.api.work import note

    note(directory, x)
    return x


# -- exceptions that nobody looks at --------------------------------------------------------------


async def test_a_dropped_failed_submit_is_reported(fabric: af.Fabric) -> None:
    reported = _listen()
    call = fabric.submit(fail, 1)
    await asyncio.wait([call])
    del call
    gc.collect()
    assert any("exception was never retrieved" in each["message"] for each in reported)
    assert any(isinstance(each.get("exception"), ValueError) for each in reported)


async def test_looking_at_attempts_does_not_hide_a_failure(fabric: af.Fabric) -> None:
    reported = _listen()
    call = fabric.submit(fail, 1)
    await asyncio.wait([call])
    assert isinstance(call.attempts[-1].error, ValueError)
    del call
    gc.collect()
    assert reported


async def test_failed_calls_of_a_map_are_not_reported(fabric: af.Fabric) -> None:
    reported = _listen()
    with pytest.raises(ValueError, match="failed"):
        await fabric.map(fail, range(10))
    with pytest.raises(ValueError, match="failed"):
        async for _ in fabric.map(fail, range(10), ordered=False):
            pass
    async for _ in af.as_completed(fabric.map(fail, range(10))):
        pass
    gc.collect()
    await passes()
    assert reported == []


def _listen() -> list[dict[str, Any]]:
    """Keep what the loop's exception handler is told from now on."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    return reported


# -- cheap ----------------------------------------------------------------------------------------


async def test_no_task_per_pending_input(local: af.Fabric) -> None:
    before = len(asyncio.all_tasks())
    calls = [local.submit(square, x) for x in range(10_000)]
    assert len(asyncio.all_tasks()) <= before + 2
    await passes(3)
    assert len(asyncio.all_tasks()) <= before + 2
    assert await asyncio.gather(*calls) == [x * x for x in range(10_000)]
    waiting = local.map(square, range(10_000)).start()
    await passes(3)
    assert len(asyncio.all_tasks()) <= before + 2
    assert len(await waiting) == 10_000


async def test_cancelled_calls_are_not_kept(fabric: af.Fabric) -> None:
    held = fabric._core.waiting()
    calls = [fabric.submit(square, x) for x in range(100)]
    for call in calls:
        call.cancel()
    await fabric.submit(square, 1)
    assert fabric._core.waiting() == held
