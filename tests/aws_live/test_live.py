"""What users rely on, on the real service."""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable

import numpy as np
import pytest

import asyncfabric as af

MEGABYTE = 1024 * 1024


def square(x: int) -> int:
    return x * x


async def slowly(x: int) -> int:
    await asyncio.sleep(0.2)
    return x


def odd_fails(x: int) -> int:
    print(f"looking at {x}")
    if x % 2:
        raise LookupError(x)
    return x


def hang(seconds: float) -> None:
    time.sleep(seconds)


def hang_in_foreign_code(seconds: int) -> None:
    ctypes.PyDLL(None).sleep(seconds)  # keeps the interpreter's lock


def end(status: int) -> None:
    os._exit(status)


def fill_memory(_: int) -> int:
    hoard: list[bytes] = []
    while True:
        hoard.append(os.urandom(64 * MEGABYTE))


def draw(count: int) -> bytes:
    return af.current().rng().bytes(count)


async def test_maps_streams_and_calls(fabric: af.Fabric) -> None:
    assert await fabric.map(square, range(500)) == [x * x for x in range(500)]
    assert [x async for x in fabric.map(slowly, range(40))] == list(range(40))
    assert await fabric.submit(square, 7) == 49
    assert await fabric.submit(lambda: "by value") == "by value"


async def test_warm_workers_are_not_cold(fabric: af.Fabric) -> None:
    await fabric.warm(5)
    calls = [call async for call in af.as_completed(fabric.map(hang, [0.1] * 5, chunksize=1))]
    assert not any(call.attempts[-1].cold for call in calls)


async def test_errors_are_the_functions_own(fabric: af.Fabric) -> None:
    results = await fabric.map(odd_fails, range(4), return_exceptions=True)
    assert results[::2] == [0, 2]
    assert isinstance(results[1], LookupError)
    assert "request" in results[1].__notes__[0]
    calls = [call async for call in af.as_completed(fabric.map(odd_fails, [0, 2]))]
    assert {call.logs for call in calls} == {"looking at 0\n", "looking at 2\n"}


async def test_large_values_go_through_the_bucket(fabric: af.Fabric) -> None:
    big = np.arange(MEGABYTE, dtype=np.float64)
    results = await fabric.map(np.cumsum, [big, big + 1])
    assert [float(each[-1]) for each in results] == [big.sum(), big.sum() + MEGABYTE]
    reference = await fabric.put(big)
    assert (await reference.get()).sum() == big.sum()
    assert [info async for info in fabric.store.list("spill/")] == []


async def test_conditional_writes_have_one_winner(fabric: af.Fabric) -> None:
    key = f"live/{os.urandom(8).hex()}"
    won = await asyncio.gather(*(fabric.store.put_if_absent(key, b"%d" % n) for n in range(32)))
    assert won.count(True) == 1
    assert bytes(await fabric.store.get(key)) == b"%d" % won.index(True)
    await fabric.store.delete(key)


@pytest.mark.parametrize("function", [hang, hang_in_foreign_code])
async def test_timeouts_are_kept_by_the_worker(
    fabric: af.Fabric, function: Callable[[int], None]
) -> None:
    with pytest.raises(af.AttemptTimeout):
        await fabric.with_options(timeout=2).submit(function, 60)


async def test_a_crash_is_told_from_lack_of_memory(fabric: af.Fabric) -> None:
    once = fabric.with_options(retry=None)
    with pytest.raises(af.WorkerCrashed, match="exit status 3"):
        await once.submit(end, 3)
    with pytest.raises(af.OutOfMemory):
        await once.submit(fill_memory, 0)


async def test_random_streams_are_those_of_this_machine(fabric: af.Fabric) -> None:
    there = await fabric.map(draw, [8] * 10, seed=5)
    async with af.Fabric("inline://", storage="memory://") as here:
        assert await here.map(draw, [8] * 10, seed=5) == there


async def test_what_is_not_deployed_is_one_error() -> None:
    backend = os.environ["ASYNCFABRIC_BACKEND"].replace("lambda://", "lambda://no-such-", 1)
    if "endpoint_url" in backend:
        pytest.skip("a LambdaFront serves every family")
    async with af.Fabric(backend) as fabric:
        with pytest.raises(af.DeploymentError, match="asyncfabric deploy"):
            await fabric.map(square, range(100))
