"""Fabrics for the tests of the public API.

A worker takes 80 ms to start, so the tests of a module share one Fabric in one loop. Tests that
kill workers, close Fabrics or count processes make their own.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

import asyncfabric as af
from tests.leaks import KEPT

LOCAL = "local://?processes=2"


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def shared_loop() -> None:
    """Give the module's loop an executor whose only thread is there before the first test."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(len, "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def local(shared_loop: None) -> AsyncIterator[af.Fabric]:
    """Two worker processes, shared by a module's tests, both started."""
    async with af.Fabric(LOCAL) as fabric:
        pids = set[int]()
        while len(pids) < 2:
            pids.update(await fabric.map(_pid, range(64), chunksize=1))
        await fabric.put(0)  # starts the threads that read and write files
        KEPT.workers = 2
        yield fabric
        KEPT.workers = 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def inline(shared_loop: None) -> AsyncIterator[af.Fabric]:
    """The test's own process."""
    async with af.Fabric("inline://") as fabric:
        await fabric.put(0)  # makes the temporary directory
        yield fabric


@pytest.fixture(scope="module", params=["local", "inline"])
def fabric(request: pytest.FixtureRequest) -> af.Fabric:
    """Both backends, one after the other."""
    found: af.Fabric = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture(loop_scope="module")
async def own() -> AsyncIterator[af.Fabric]:
    """Two worker processes of the test's own."""
    async with af.Fabric(LOCAL) as fabric:
        yield fabric


def _pid(_: int) -> int:
    import os

    return os.getpid()
