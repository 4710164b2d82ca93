"""Shuffles and reductions as durable jobs: run again after any end, they go on."""

import operator
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric.bsp._host import Durable
from asyncfabric_storage import open_store
from tests.bsp import work
from tests.bsp.counting import keys_of
from tests.sources import ROOT

pytestmark = pytest.mark.asyncio

KEY = "5e" * 32


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of the user's jobs."""
    monkeypatch.setenv("ASYNCFABRIC_KEY", KEY)


class Notes:
    """What has run, as files in a directory; and a word that lets reducers pass."""

    def __init__(self, place: Path) -> None:
        self.place = place
        place.mkdir()
        (place / "go").touch()

    def items(self, count: int = 9) -> list[tuple[str, int]]:
        return [(str(self.place), number) for number in range(count)]

    def stop(self) -> None:
        (self.place / "go").unlink()

    def go(self) -> None:
        (self.place / "go").touch()

    def taken(self, what: str) -> int:
        """How often something ran since the last time."""
        found = list(self.place.glob(f"{what}.*"))
        for path in found:
            path.unlink()
        return len(found)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path / "notes")


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"file://{tmp_path}/store"


EXPECTED = {key: list(range(key, 9, 3)) for key in range(3)}


async def shuffled(fabric: af.Fabric, notes: Notes) -> dict[int, list[int]]:
    parts = await bsp.shuffle(
        fabric,
        work.noted_pairs,
        notes.items(),
        work.noted_values,
        partitions=3,
        partition=operator.pos,
        job="sums",
    )
    return {key: [number for _, number in values] for part in parts for key, values in part}


async def left(storage: str) -> list[str]:
    """What workers wrote for one another."""
    store = open_store(storage)
    found = await keys_of(store, "shuffle/") + await keys_of(store, "reduce/")
    await store.aclose()
    return found


@pytest.mark.parametrize("levels", [1, 2])
async def test_what_is_finished_is_not_run_again(
    notes: Notes, storage: str, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await shuffled(fabric, notes) == EXPECTED
        assert (notes.taken("mapped"), notes.taken("reduced")) == (9, 3)
        assert await left(storage) == []
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await shuffled(fabric, notes) == EXPECTED
        assert (notes.taken("mapped"), notes.taken("reduced")) == (0, 0)
        stages = ["sums.map", "sums.reduce", *(["sums.regroup"] if levels > 1 else [])]
        assert sorted(await af.jobs.list(fabric)) == stages


@pytest.mark.parametrize("levels", [1, 2])
async def test_a_job_goes_on_after_an_error_with_other_workers(
    notes: Notes, storage: str, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    notes.stop()
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(FileNotFoundError):
            await shuffled(fabric, notes)
        assert notes.taken("mapped") == 9
        assert await left(storage) != []
    notes.go()
    async with af.Fabric("local://?processes=2", storage=storage, hedge=None) as fabric:
        assert await shuffled(fabric, notes) == EXPECTED
        assert (notes.taken("mapped"), notes.taken("reduced")) == (0, 3)
        assert await left(storage) == []


PROGRAM = """
import asyncio, pathlib, sys
import asyncfabric as af
from tests.bsp.test_jobs import Notes, shuffled

async def main():
    notes = Notes.__new__(Notes)
    notes.place = pathlib.Path(sys.argv[2])
    async with af.Fabric("local://?processes=2", storage=sys.argv[1], hedge=None) as fabric:
        await shuffled(fabric, notes)

asyncio.run(main())
"""


@pytest.mark.timeout(120)
async def test_a_job_goes_on_after_its_driver_was_killed(notes: Notes, storage: str) -> None:
    notes.stop()
    (notes.place / "tell").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, storage, str(notes.place)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("reducing")
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    notes.go()
    (notes.place / "tell").unlink()
    assert await left(storage) != []
    assert notes.taken("mapped") == 9
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await shuffled(fabric, notes) == EXPECTED
    assert notes.taken("mapped") == 0
    assert await left(storage) == []


async def test_what_has_expired_is_told(notes: Notes, storage: str) -> None:
    notes.stop()
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(FileNotFoundError):
            await shuffled(fabric, notes)
        notes.go()
        await fabric.store.delete_many(await left(storage))
        with pytest.raises(af.StorageError, match=r'two days.*discard\(\).*"sums.map"') as caught:
            await shuffled(fabric, notes)
        assert not isinstance(caught.value, af.ObjectNotFound)
        for stage in ("map", "reduce"):
            await af.jobs.discard(fabric, f"sums.{stage}")
        assert await shuffled(fabric, notes) == EXPECTED


async def test_discarding_mappers_deletes_what_they_wrote(notes: Notes, storage: str) -> None:
    notes.stop()
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(FileNotFoundError):
            await shuffled(fabric, notes)
        before = await left(storage)
        assert len(before) == 9
        await af.jobs.discard(fabric, "sums.reduce")
        assert (await af.jobs.gc(fabric, grace=0)).exchanges == 0
        assert await left(storage) == before  # the job can go on with these
        await fabric.store.put("shuffle/mine", b"")
        await af.jobs.discard(fabric, "sums.map")
        assert await left(storage) == ["shuffle/mine"]


async def test_what_a_killed_driver_left_is_collected(storage: str) -> None:
    """Below places of its own, and only as a whole; what isn't ours stays."""
    left_over = [f"{room}/{'5e' * 16}/{name}" for room in ("reduce", "shuffle") for name in "ab"]
    left_over.append(f"sort/{'0' * 32}/c")
    ours = ["shuffle/mine", "sort/5e/a", f"sort/{'x' * 32}/a"]
    async with af.Fabric("inline://", storage=storage) as fabric:
        for key in left_over + ours:
            await fabric.store.put(key, b"four")
        assert (await af.jobs.gc(fabric)).objects == 0
        done = await af.jobs.gc(fabric, grace=0)
        assert (done.exchanges, done.objects, done.size) == (3, 5, 20)
        assert await keys_of(fabric.store) == ours


@pytest.mark.parametrize("length", [93, 100])
async def test_names_that_leave_no_room_for_those_of_stages(storage: str, length: int) -> None:
    name = "x" * length
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(af.ConfigurationError, match="up to 92"):
            _ = bsp.shuffle(fabric, work.given, [], work.kept, partitions=1, job=name)
        with pytest.raises(af.ConfigurationError, match="up to 92"):
            await fabric.map_reduce(work.square, [], work.added, job=name)


async def test_the_key_of_the_blocks_is_not_in_the_store(notes: Notes, storage: str) -> None:
    """Who may write there can make no block that is taken for a mapper's."""
    notes.stop()
    secret = await Durable("sums").secret()
    assert secret == await Durable("sums").secret()
    assert secret != await Durable("other").secret()
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(FileNotFoundError):
            await shuffled(fabric, notes)
        found = [bytes(await fabric.store.get(key)) for key in await keys_of(fabric.store)]
    assert len(found) > 9
    assert not any(secret in data or secret.hex().encode() in data for data in found)


async def test_jobs_need_a_store_that_lasts() -> None:
    async with af.Fabric("local://") as fabric:
        with pytest.raises(af.ConfigurationError, match="is to outlive this process"):
            _ = bsp.shuffle(fabric, work.given, [], work.kept, partitions=1, job="x")
        with pytest.raises(af.ConfigurationError, match="is to outlive this process"):
            await fabric.map_reduce(work.square, [], work.added, job="x")


@pytest.mark.parametrize("associative", [False, True])
async def test_map_reduce_goes_on(notes: Notes, storage: str, associative: bool) -> None:
    items = notes.items(20)
    stages = ["sum.map", "sum.reduce", *(["sum.reduce1"] if associative else [])]

    async def total(backend: str) -> Any:
        async with af.Fabric(backend, storage=storage) as fabric:
            return await fabric.map_reduce(
                work.noted_number, items, work.noted_sum, associative=associative, job="sum"
            )

    notes.stop()
    with pytest.raises(FileNotFoundError):
        await total("inline://")
    assert notes.taken("mapped") == 20
    assert await left(storage) != []
    notes.go()
    for times in (1, 0):
        assert (await total("local://?processes=2"))[1] == sum(range(20))
        assert notes.taken("mapped") == 0
        assert (notes.taken("reduced") > 0) == bool(times)
        assert await left(storage) == []
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert sorted(await af.jobs.list(fabric)) == stages
