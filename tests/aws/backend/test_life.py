# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Cancelling, leaving, closing, warming: held invocations let go of everything."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront, Limits
from tests.api.until import until
from tests.aws.backend.fronts import cloud, objects
from tests.sources import ROOT

pytestmark = pytest.mark.asyncio(loop_scope="module")


def wait_for(place: Path) -> Any:
    """Return a function that waits until a file is there."""
    path = str(place)

    def wait(x: object = None) -> object:
        import os
        import time

        until = time.monotonic() + 30
        while not os.path.exists(path) and time.monotonic() < until:  # noqa: PTH110
            time.sleep(0.005)
        return x

    return wait


async def test_cancelling_a_map(fabric: Any, front: LambdaFront, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = asyncio.ensure_future(_awaited(fabric.map(wait_for(go), range(100), chunksize=1)))
    await front.until(lambda counters: counters.running == 4)
    requests = front.counters.requests
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert front.counters.running == 4  # Lambda can't be stopped
    dispatcher = fabric._core.bind()
    assert dispatcher.in_flight == 4  # and they count until they answer
    go.touch()
    await until(lambda: dispatcher.in_flight == 0)
    assert front.counters.requests == requests
    assert await fabric.submit(lambda: 1) == 1


async def _awaited(work: Any) -> Any:
    return await work


async def test_cancelling_a_call(fabric: Any, front: LambdaFront, tmp_path: Path) -> None:
    go = tmp_path / "go"
    wait = wait_for(go)
    calls = [fabric.submit(wait, x) for x in range(4)]
    await front.until(lambda counters: counters.running == 4)
    calls[1].cancel()
    late = fabric.submit(lambda: "late")
    go.touch()
    assert await late == "late"
    assert [await call for call in calls if call is not calls[1]] == [0, 2, 3]
    assert calls[1].cancelled()


async def test_a_timeout_of_asyncios(fabric: Any, front: LambdaFront, tmp_path: Path) -> None:
    go = tmp_path / "go"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await fabric.submit(wait_for(go))
    go.touch()
    await until(lambda: fabric._core.bind().in_flight == 0)


async def test_leaving_a_stream(fabric: Any, front: LambdaFront) -> None:
    requests = front.counters.requests
    async for x in fabric.map(lambda x: x, range(100_000), chunksize=1, buffersize=4):
        if x == 10:
            break
    await until(lambda: fabric._core.bind().in_flight == 0)
    assert front.counters.requests - requests < 30
    assert not fabric._core.backend._held


async def test_the_first_failure_leaves_the_rest(
    fabric: Any, front: LambdaFront, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    wait = wait_for(go)

    def work(x: int) -> object:
        if x == 2:
            raise LookupError(x)
        return wait(x)

    with pytest.raises(LookupError):
        await fabric.map(work, range(50), chunksize=1)
    go.touch()
    await until(lambda: fabric._core.bind().in_flight == 0)
    assert front.counters.running == 0


async def test_closing_with_20_held() -> None:
    """Nothing is left of them here; there, they go on to their end."""
    async with cloud(concurrency=20) as (front, fabric):
        work = fabric.map(lambda x: __import__("time").sleep(30), range(20), chunksize=1)
        running = asyncio.ensure_future(_awaited(work))
        await front.until(lambda counters: counters.running == 20)
        await fabric.aclose()
        with pytest.raises(RuntimeError, match="or its Fabric was"):
            await running
        ours = [task for task in asyncio.all_tasks() if "/backends/" in _file(task)]
        assert ours == []
        assert front.counters.running == 20


def _file(task: Any) -> str:
    return str(task.get_coro().cr_code.co_filename)


async def test_draining(front: LambdaFront) -> None:
    fabric = af.Fabric(front.backend, max_concurrency=4)
    calls = [fabric.submit(lambda x: x, x) for x in range(20)]
    await fabric.aclose(drain=30)
    assert [call.result() for call in calls] == list(range(20))


@pytest.mark.parametrize("passes", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144])
async def test_cancelled_while_it_opens_works_or_closes(front: LambdaFront, passes: int) -> None:
    async def whole() -> None:
        async with af.Fabric(front.backend, max_concurrency=4) as fabric:
            await fabric.map(lambda x: x, range(3))
            await fabric.submit(len, b"x" * 300_000)

    work = asyncio.ensure_future(whole())
    for _ in range(passes):
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait([work])
    assert work.cancelled() or work.exception() is None


async def test_two_fabrics_in_one_loop(front: LambdaFront) -> None:
    async with (
        af.Fabric(front.backend, max_concurrency=2) as one,
        af.Fabric(front.backend, max_concurrency=2) as other,
    ):
        maps = one.map(lambda x: x, range(50)), other.map(lambda x: -x, range(50))
        found = await asyncio.gather(*maps)
    assert list(found) == [list(range(50)), [-x for x in range(50)]]


async def test_a_fabric_in_a_worker_runs_there(fabric: Any, front: LambdaFront) -> None:
    backend = front.backend

    async def outer(n: int) -> list[int]:
        import asyncfabric

        async with asyncfabric.Fabric(backend) as inner:
            return await inner.map(lambda x: x + 1, range(n))

    requests = front.counters.requests
    assert await fabric.submit(outer, 3) == [1, 2, 3]
    assert front.counters.requests - requests == 1


async def test_no_sdk_in_a_worker(fabric: Any) -> None:
    def loaded() -> list[str]:
        import sys

        import asyncfabric

        assert asyncfabric.current().index >= 0
        heavy = ("aiobotocore", "botocore", "boto3", "aiohttp", "httptools")
        return [name for name in heavy if name in sys.modules]

    assert await fabric.submit(loaded) == []


async def test_warming() -> None:
    async with cloud(concurrency=5) as (front, fabric):
        await fabric.warm(5)
        assert front.counters.environments == 5
        assert front.counters.peak == 5
        calls = [
            call async for call in af.as_completed(fabric.map(lambda x: x, range(20), chunksize=1))
        ]
        assert [call.attempts[-1].cold for call in calls] == [False] * 20
        await fabric.warm(2)
        assert front.counters.environments == 5
        with pytest.raises(af.ConfigurationError, match=r"warm\(6\) exceeds max_concurrency=5"):
            await fabric.warm(6)


async def test_warming_more_than_the_default_limit() -> None:
    backend = "lambda://asyncfabric?region=us-east-1&endpoint_url=http://127.0.0.1:9"
    async with af.Fabric(backend) as fabric:
        with pytest.raises(af.ConfigurationError, match=r"warm\(101\) exceeds max_concurrency=100"):
            await fabric.warm(101)


async def test_warming_more_than_there_may_be() -> None:
    async with cloud(concurrency=5, limits=Limits(concurrency=2)) as (front, fabric):
        await fabric.warm(5)  # it does what can be done
        assert front.counters.environments == 2


PROGRAM = """
import asyncio, sys, time
import asyncfabric as af

async def main():
    async with af.Fabric(sys.argv[1], storage=sys.argv[2], max_concurrency=10) as fabric:
        print("begun", flush=True)
        await fabric.map(lambda data: time.sleep(60), [bytes(300_000)] * 10, chunksize=1)

try:
    af.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


async def test_ctrl_c(tmp_path: Path) -> None:
    program, store = tmp_path / "program.py", tmp_path / "store"
    program.write_text(PROGRAM)
    path = ":".join(str(ROOT / folder) for folder in (".", "runtime", "storage"))
    async with LambdaFront() as front:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", str(program), front.backend, f"file://{store}"),
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            await front.until(lambda counters: counters.running == 10)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(20):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert output.decode() == "begun\ninterrupted\n"
    assert process.returncode == 0
    assert objects(store) == []
