"""Jobs that are launched and left: events on Lambda, results through the commit protocol."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.backends.aws_lambda import _events
from asyncfabric.testing import LambdaFront
from tests.aws.backend.fronts import objects
from tests.aws.backend.leaving import Left, attached, ended, make_square, make_square_async
from tests.sources import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]
square = make_square()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


# -- what it is for -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [make_square, make_square_async])
async def test_launched_here_and_collected_elsewhere(
    front: LambdaFront, storage: str, make: Callable[[], Left]
) -> None:
    begun = front.counters.executions
    async with af.Fabric(front.backend, storage=storage) as fabric:
        launched = await af.jobs.launch(fabric, make(), range(20), job="job", chunksize=7)
        assert launched == ("job", 20, 0, 20)
    assert await attached(storage) == [x * x for x in range(20)]
    await ended(front, begun)
    seen = await af.jobs.show(storage, "job")
    assert (seen.launched, seen.finished, seen.noted) == (True, True, 0)


COLLECT = """
import asyncio, sys
import asyncfabric as af
async def main():
    print(await af.jobs.attach(sys.argv[1], "job"))
asyncio.run(main())
"""


async def test_collected_by_another_process(front: LambdaFront, storage: str) -> None:
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(fabric, square, range(5), job="job", chunksize=2)
    done = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COLLECT, storage),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, _PACKAGES))},
        stdout=subprocess.PIPE,
    )
    printed, _ = await done.communicate()
    assert printed.decode().strip() == "[0, 1, 4, 9, 16]"


_PACKAGES = (ROOT, ROOT / "runtime", ROOT / "storage")


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        await asyncio.sleep(0)
        yield number


async def test_inputs_that_come_by_and_by(front: LambdaFront, storage: str) -> None:
    async with af.Fabric(front.backend, storage=storage) as fabric:
        launched = await af.jobs.launch(fabric, square, numbers(70), job="job", chunksize=30)
        assert launched.calls == 70
        assert await attached(fabric) == [x * x for x in range(70)]


async def test_what_goes_along(front: LambdaFront, storage: str) -> None:
    """Shared values, options of the function, refs, random streams: as with map."""

    @af.function(env={"GREETING": "hello"})
    def work(x: int, *, table: Any) -> tuple[str, int, float]:
        return os.environ["GREETING"], int(table[x]), af.current().rng().random()

    table = np.arange(10) * 7
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(
            fabric, work, range(4), job="job", shared={"table": table}, seed=5, results="ref"
        )
        refs = await af.jobs.attach(fabric, "job")
        found = [await ref.get() for ref in refs]
        mapped = await fabric.map(work, range(4), shared={"table": table}, seed=5)
    assert found == mapped
    assert [each[:2] for each in found] == [("hello", 7 * x) for x in range(4)]


@pytest.mark.parametrize("size", [10, 2_000_000])
async def test_large_inputs_go_through_the_store(
    front: LambdaFront, storage: str, tmp_path: Path, size: int
) -> None:
    values = [bytes([x]) * size for x in range(3)]
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(fabric, len, values, job="job")
        assert await attached(fabric) == [size] * 3
    spilled = [key for key in objects(tmp_path / "store") if key.startswith("spill/")]
    assert len(spilled) == (3 if size > 10 else 0)


async def test_an_event_may_have_a_megabyte(front: LambdaFront, storage: str) -> None:
    """What rides in events fits, with everything around it."""
    value = b"x" * (_events.EVENT_BYTES - 10_000)
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(fabric, len, [value], job="job")
        assert await attached(fabric) == [len(value)]


async def test_several_calls_in_an_event(front: LambdaFront, storage: str) -> None:
    begun = front.counters.executions
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await fabric.submit(square, 1)  # so that the module check is behind us
        before = front.counters.requests
        await af.jobs.launch(fabric, square, range(25), job="job", chunksize=10)
        assert front.counters.requests - before <= 4  # three, and a question
        assert await attached(fabric) == [x * x for x in range(25)]
    await ended(front, begun)


async def test_results_as_data(front: LambdaFront, storage: str) -> None:
    """Launched and collected by a Fabric that unpickles nothing."""

    def work(x: int) -> object:
        if x == 2:
            raise KeyError("two")
        return {"x": x} if x else af.current  # which is no data

    async with af.Fabric(front.backend, storage=storage, trust="data") as fabric:
        await af.jobs.launch(fabric, work, range(3), job="job", chunksize=3)
        found = await af.jobs.attach(fabric, "job", return_exceptions=True)
        assert found[1] == {"x": 1}
        assert [type(found[at]) for at in (0, 2)] == [af.SerializationError, af.RemoteError]
    async with af.Fabric(front.backend, storage=storage) as fabric:
        await af.jobs.launch(fabric, work, [1], job="other")
        assert await af.jobs.attach(fabric, "other") == [{"x": 1}]
    async with af.Fabric(front.backend, storage=storage, trust="data") as fabric:
        with pytest.raises(af.ConfigurationError, match="takes data only"):
            await af.jobs.attach(fabric, "other")
