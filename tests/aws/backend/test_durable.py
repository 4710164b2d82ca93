# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Durable jobs on Lambda: committed before it is answered, whatever becomes of the answer."""

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.testing import Fault, Faults, LambdaFront
from asyncfabric_storage import LocalStore
from tests.api.work import note, noted
from tests.aws.backend.fronts import cloud, objects
from tests.aws.backend.test_code import program, script
from tests.shipping.projects import write

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "5a" * 32


@pytest.fixture(autouse=True)
def _master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", KEY)


def lasting(tmp_path: Path) -> dict[str, Any]:
    """Options of a Fabric with a store that outlives it."""
    return {"storage": (tmp_path / "store").as_uri()}


def work(directory: Path, *, late: bool = False) -> Any:
    """Return a function that notes that it ran, plain or a coroutine function."""
    place = str(directory)
    directory.mkdir()

    def plain(x: int) -> int:
        note(place, x)
        return 10 * x

    async def coroutine(x: int) -> int:
        note(place, x)
        await asyncio.sleep(0)
        return 10 * x

    return coroutine if late else plain


def once_each(directory: Path, count: int) -> bool:
    runs = {name: number for name, number in noted(str(directory)).items() if name}
    return runs == {str(x): 1 for x in range(count)}


@pytest.mark.parametrize("late", [False, True])
async def test_run_again_it_asks_nothing_of_lambda(tmp_path: Path, late: bool) -> None:
    notes = tmp_path / "notes"
    function = work(notes, late=late)
    async with cloud(options=lasting(tmp_path)) as (front, fabric):
        assert await fabric.map(function, range(40), job="tens") == [10 * x for x in range(40)]
        requests = front.counters.requests
        async with af.Fabric(front.backend, **lasting(tmp_path)) as second:
            assert await second.map(function, range(40), job="tens") == [10 * x for x in range(40)]
        assert front.counters.requests == requests
    assert once_each(notes, 40)


async def test_what_a_lost_reply_told_is_not_done_again(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    function = work(notes)
    async with cloud(options=lasting(tmp_path)) as (front, fabric):
        front.inject([Fault(lost_reply=True)] * 3)
        found = await fabric.map(function, range(8), job="lost", chunksize=2)
        assert found == [10 * x for x in range(8)]
        assert front.counters.requests >= 7
    assert once_each(notes, 8)


async def test_of_two_executions_one_is_the_result(tmp_path: Path) -> None:
    def draw(_: int) -> str:
        return os.urandom(8).hex()

    async with cloud(options=lasting(tmp_path)) as (front, fabric):
        front.inject(lambda _: Fault(duplicate=True))
        first = await fabric.map(draw, range(6), job="twice", chunksize=1)
        front.inject(None)
        assert await fabric.map(draw, range(6), job="twice", chunksize=1) == first
    assert len(set(first)) == 6


async def test_many_faults(tmp_path: Path) -> None:
    async with cloud(options=lasting(tmp_path)) as (front, fabric):
        front.inject(Faults(seed=5, throttled=0.1, errors=0.1, reset=0.1, lost=0.1, duplicated=0.1))
        patient = fabric.with_options(retry=af.Retry(attempts=10, base=0.01))
        found = await patient.map(lambda x: x * x, range(60), job="faults", chunksize=1)
        assert found == [x * x for x in range(60)]
    done = [key for key in objects(tmp_path / "store") if "/done/" in key]
    assert len(done) == 60


async def test_a_large_result_is_stored_once(tmp_path: Path) -> None:
    async with cloud(options=lasting(tmp_path)) as (_, fabric):
        found = await fabric.map(np.arange, [100_000] * 3, job="large", chunksize=3)
        assert all(np.array_equal(each, np.arange(100_000)) for each in found)
    stored = objects(tmp_path / "store")
    assert len([key for key in stored if "/data/" in key]) == 3
    assert not [key for key in stored if key.startswith("spill/")]


async def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    place = str(notes)

    def dies_once(x: int) -> int:
        note(place, x)
        if x == 5 and noted(place)["5"] == 1:
            os._exit(1)
        return x

    async with cloud(options=lasting(tmp_path)) as (_, fabric):
        assert await fabric.map(dies_once, range(10), job="killed", chunksize=1) == list(range(10))
    assert noted(place)["5"] == 2


async def test_the_first_failure_is_no_result(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    place = str(notes)

    def fails(x: int) -> int:
        note(place, x)
        if x == 2:
            raise ValueError("two")
        return x

    async with cloud(options=lasting(tmp_path)) as (_, fabric):
        for _ in range(2):
            with pytest.raises(ValueError, match="two"):
                await fabric.map(fails, range(4), job="failed", chunksize=1)
        found = await fabric.map(fails, range(4), job="failed", return_exceptions=True)
        assert isinstance(found[2], ValueError)
        again = await fabric.map(fails, range(4), job="failed", return_exceptions=True)
        assert isinstance(again[2], ValueError)
    assert noted(place)["2"] == 3


APP = script(
    "print(await fabric.map(work, range(4), job='modules'))", imports="from helpers import work"
)


async def test_another_process_goes_on_with_the_stored_code(tmp_path: Path) -> None:
    helpers = "import os\ndef work(x):\n    return 7 * x\n"
    project = write(tmp_path / "project", {"helpers.py": helpers, "app.py": APP})
    url = (tmp_path / "store").as_uri()
    async with LambdaFront() as front:
        assert await program(front, project / "app.py", url) == "[0, 7, 14, 21]\n"
        requests = front.counters.requests
        assert await program(front, project / "app.py", url) == "[0, 7, 14, 21]\n"
        asked = front.counters.requests - requests
        assert asked <= 1  # what is installed there, at most
        (project / "helpers.py").write_text(helpers.replace("7", "8"))
        refused = await program(front, project / "app.py", url)
        assert "job 'modules' was begun with another program: file helpers.py changed" in refused
    store = LocalStore(tmp_path / "store")
    code = [info.key async for info in store.list("jobs/") if "/code/" in info.key]
    assert len(code) == 2  # the function and the archive
