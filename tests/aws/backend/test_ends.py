# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Workers that die, alone and with others' calls in their invocation."""

from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.api.work import noted
from tests.aws.backend.fronts import cloud
from tests.aws.backend.test_faults import leave_a_mark

QUICK = af.Retry(attempts=2, base=0)


def end_by(way: str) -> Any:
    """Return a function that ends its process."""

    def end(x: int = 0) -> int:
        import ctypes
        import os
        import signal

        if way == "exit":
            os._exit(3)
        elif way == "exit 0":
            os._exit(0)
        elif way == "segfault":
            ctypes.string_at(0)
        elif way == "abort":
            os.abort()
        elif way == "term":
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        return x

    return end


async def test_a_worker_that_dies() -> None:
    ways = {
        "exit": "exit status 3",
        "segfault": "segmentation fault",
        "abort": "signal: aborted",
    }
    async with cloud(concurrency=1, options={"retry": QUICK}) as (front, fabric):
        for way, says in ways.items():
            executions = front.counters.executions
            call = fabric.submit(end_by(way))
            with pytest.raises(af.WorkerCrashed, match=says) as caught:
                await call
            assert "request id" in str(caught.value)
            assert "os._exit" in str(caught.value)
            assert "attempt 2, on request " in caught.value.__notes__[0]
            assert front.counters.executions - executions == 2
        assert await fabric.submit(lambda: 1) == 1


async def test_a_worker_that_leaves_in_peace() -> None:
    async with cloud(concurrency=1, options={"retry": QUICK}) as (front, fabric):
        with pytest.raises(af.WorkerCrashed):
            await fabric.submit(end_by("exit 0"))
        assert front.counters.executions == 2


async def test_its_last_words_are_told() -> None:
    def speak() -> None:
        import os
        import sys

        print("my last words", file=sys.stderr, flush=True)
        os._exit(1)

    async with cloud(concurrency=1, options={"retry": None}) as (_, fabric):
        with pytest.raises(af.WorkerCrashed, match="my last words"):
            await fabric.submit(speak)


async def test_too_much_memory() -> None:
    def hoard() -> int:
        import time

        hoarded = []
        for _ in range(100):
            hoarded.append(b"x" * 10_000_000)
            time.sleep(0.01)
        return len(hoarded)

    async with LambdaFront() as front:
        backend = front.backend.replace("lambda://asyncfabric?", "lambda://asyncfabric?memory=256&")
        async with af.Fabric(backend, max_concurrency=1) as fabric:
            with pytest.raises(af.OutOfMemory, match="ran out of its memory of 256 MB") as caught:
                await fabric.submit(hoard)
            assert "memory=" in str(caught.value)
            assert isinstance(caught.value, MemoryError)
            assert front.counters.executions == 1  # every worker has as much
            assert await fabric.map(lambda x: x, range(3)) == [0, 1, 2]


async def test_the_functions_own_timeout() -> None:
    """What not even the worker's own limits end is ended by Lambda, and not repeated."""

    def ignore() -> None:
        import faulthandler
        import signal
        import time

        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        faulthandler.cancel_dump_traceback_later()
        time.sleep(60)

    async with cloud(concurrency=1, timeout=1.0) as (front, fabric):
        with pytest.raises(af.AttemptTimeout, match=r"Lambda stopped .* after 1.00 s"):
            await fabric.submit(ignore)
        assert front.counters.executions == 1
        await front.until(lambda counters: counters.running == 0)
        assert await fabric.submit(lambda: 1) == 1


@pytest.mark.parametrize("size", [2, 8])
async def test_a_poisoned_chunk(tmp_path: Path, size: int) -> None:
    """Only the call that kills its worker is charged, and the others' results are not lost."""
    place = str(tmp_path)

    def work(x: int) -> int:
        import os
        import uuid

        with open(os.path.join(place, f"{x}.{uuid.uuid4().hex}"), "x"):  # noqa: PTH118, PTH123
            pass
        if x == 5:
            os._exit(7)
        return x

    retry = af.Retry(attempts=3, base=0)
    async with cloud(concurrency=2, options={"retry": retry}) as (front, fabric):
        found: dict[Any, Any] = {}
        async for call in af.as_completed(fabric.map(work, range(16), chunksize=size)):
            found[call.input] = call
        poison = found.pop(5)
        assert isinstance(poison.exception(), af.WorkerCrashed)
        assert [each.number for each in poison.attempts] == [1, 2, 3]
        assert {x: call.result() for x, call in found.items()} == {
            x: x for x in range(16) if x != 5
        }
        assert all([each.number for each in call.attempts] == [1] for call in found.values())
        marks = noted(tmp_path)
        assert marks["5"] == 4  # once with the others, then three times alone
        assert front.counters.function_errors == 4


async def test_a_poisoned_chunk_of_coroutines() -> None:
    async def work(x: int) -> int:
        import asyncio
        import os

        await asyncio.sleep(0)
        if x == 2:
            os._exit(7)
        await asyncio.sleep(0.01)
        return x

    async with cloud(concurrency=2, options={"retry": QUICK}) as (_, fabric):
        found = await fabric.map(work, range(6), chunksize=3, return_exceptions=True)
    assert isinstance(found.pop(2), af.WorkerCrashed)
    assert found == [0, 1, 3, 4, 5]


async def test_calls_that_must_not_run_twice_go_alone(tmp_path: Path) -> None:
    async with cloud(concurrency=2, options={"idempotent": False}) as (front, fabric):
        assert await fabric.map(leave_a_mark(tmp_path), range(6)) == list(range(6))
        assert front.counters.executions == 6


async def test_calls_that_must_not_run_twice_fail_with_their_worker(tmp_path: Path) -> None:
    """Together, because the user said so: none of them is repeated."""
    place = str(tmp_path)

    def work(x: int) -> int:
        import os
        import uuid

        with open(os.path.join(place, f"{x}.{uuid.uuid4().hex}"), "x"):  # noqa: PTH118, PTH123
            pass
        if x == 1:
            os._exit(7)
        return x

    async with cloud(concurrency=1, options={"idempotent": False}) as (_, fabric):
        found = await fabric.map(work, range(6), chunksize=3, return_exceptions=True)
    assert [type(each) for each in found[:3]] == [af.WorkerCrashed] * 3
    assert found[3:] == [3, 4, 5]
    assert noted(tmp_path) == {str(x): 1 for x in (0, 1, 3, 4, 5)}


async def test_a_chunk_that_the_functions_time_is_too_short_for(tmp_path: Path) -> None:
    """What there is no time left for goes to another invocation, uncharged."""

    def work(x: int) -> int:
        import time

        time.sleep(0.4)
        return x

    async with cloud(concurrency=1, timeout=3.0, options={"timeout": None}) as (front, fabric):
        calls = [call async for call in af.as_completed(fabric.map(work, range(6), chunksize=6))]
        assert sorted(call.result() for call in calls) == list(range(6))
        assert all(len(call.attempts) == 1 for call in calls)
        assert 2 <= front.counters.executions < 6
        assert front.counters.executions == len({call.attempts[0].worker for call in calls})
        assert front.counters.function_errors == 0


async def test_poison_among_hundreds() -> None:
    """It is found without an invocation for each of them."""

    def work(x: int) -> int:
        import os

        if x == 300:
            os._exit(7)
        return x

    async with cloud(concurrency=2, options={"retry": QUICK}) as (front, fabric):
        found = await fabric.map(work, range(512), chunksize=512, return_exceptions=True)
        assert isinstance(found.pop(300), af.WorkerCrashed)
        assert found == [x for x in range(512) if x != 300]
        # 512 -> 16 x 32 -> 16 x 2 -> 2 x 1, and once more for the one.
        assert front.counters.executions == 1 + 16 + 16 + 2 + 1
        assert front.counters.function_errors == 5
