"""Mappers that are repeated, copied, killed or interrupted, on both kinds of workers."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric.testing import Fault, Faults, LambdaFront
from asyncfabric_storage import open_store
from tests.bsp import work
from tests.bsp.counting import keys_of
from tests.sources import ROOT

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

EAGER = af.Hedge(least=0.05)
ITEMS = 40


@pytest.fixture(params=["local", "lambda"])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The URL of a backend."""
    if request.param == "local":
        yield "local://?processes=3"
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        async with LambdaFront() as front:
            yield front.backend


@pytest.mark.parametrize("mapper", [work.DiesWhenDone, work.HangsWhenDone])
async def test_the_object_of_the_attempt_that_answered_is_read(
    backend: str, mapper: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is there, too, and complete: reading both would count values twice."""
    monkeypatch.setattr(_shuffle, "Mapper", mapper)
    items = [(str(tmp_path), number) for number in range(ITEMS)]
    storage = f"file://{tmp_path}/store"
    async with af.Fabric(backend, storage=storage, max_concurrency=3, hedge=EAGER) as fabric:
        shuffle = bsp.shuffle(fabric, work.by_three, items, work.kept, partitions=5)
        seen = 0
        found: dict[int, list[int]] = {}
        async for part in shuffle:
            seen = seen or len(await keys_of(fabric.store, "shuffle/"))
            found.update(part)
        assert found == {key: list(range(key, ITEMS, 3)) for key in range(3)}
        assert shuffle.stats.mappers == ITEMS
        assert seen > ITEMS
        assert await keys_of(fabric.store, "shuffle/") == []
        (tmp_path / "go").touch()


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("seed", [0, 3])
async def test_a_service_that_loses_and_doubles(
    seed: int, levels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value is counted once, in its place, whatever befalls the calls of each stage."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    faults = Faults(seed=seed, reset=0.03, lost=0.05, duplicated=0.2)
    befallen: list[Fault | None] = []

    def plan(number: int) -> Fault | None:
        befallen.append(faults(number))
        return befallen[-1]

    items = [(str(tmp_path), number) for number in range(ITEMS)]
    retry = af.Retry(attempts=20, base=0.01)
    async with (
        LambdaFront(faults=plan) as front,
        af.Fabric(
            front.backend, storage=f"file://{tmp_path}/store", max_concurrency=3, retry=retry
        ) as fabric,
    ):
        shuffle = bsp.shuffle(fabric, work.by_three, items, work.kept, partitions=5)
        found = {key: values for part in await shuffle for key, values in part}
        assert found == {key: list(range(key, ITEMS, 3)) for key in range(3)}
        assert shuffle.stats.mappers == ITEMS
        assert await fabric.map_reduce(work.second, items, work.added) == sum(range(ITEMS))
    assert any(befallen)


PROGRAM = """
import asyncio, sys
import asyncfabric as af
from tests.bsp import work

async def main():
    async with af.Fabric("local://?processes=2", storage=sys.argv[1]) as fabric:
        if sys.argv[2] == "shuffle":
            await af.bsp.shuffle(
                fabric, work.one_each, range(4), work.tells_and_waits, partitions=4
            )
        else:
            await fabric.map_reduce(work.square, range(4), work.tells_and_waits_for_more)

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["shuffle", "map_reduce"])
async def test_nothing_is_left_after_an_interruption(what: str, tmp_path: Path) -> None:
    """Ctrl-C while the last stage runs."""
    url = f"file://{tmp_path}/store"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, what],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("reducing")
        store = open_store(url)
        assert any(key.startswith(("shuffle/", "reduce/")) for key in await keys_of(store))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert "KeyboardInterrupt" in errors
    assert [key for key in await keys_of(store) if not key.startswith("objects/")] == []
    await store.aclose()
