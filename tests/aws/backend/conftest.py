"""Fronts and Fabrics for the tests of the Lambda backend.

A worker takes some 100 ms to start, so the tests of a module share one front with warm workers.
Tests that end workers, or count cold starts, open a front of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.aws.backend.fronts import settled, sure_sdk

WORKERS = 4


@pytest.fixture(scope="session", autouse=True)
def credentials() -> Iterator[None]:
    """Set credentials: any will do. Load the SDK, which keeps what it has opened."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"):
            patch.delenv(name, raising=False)
        sure_sdk()
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def shared_loop() -> None:
    """Give the module's loop an executor whose only thread is there before the first test."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    await asyncio.to_thread(len, "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_front(shared_loop: None) -> AsyncIterator[LambdaFront]:
    """A front with as many warm workers as its tests use at a time."""
    async with LambdaFront() as front:
        async with af.Fabric(front.backend, max_concurrency=WORKERS) as fabric:
            await fabric.warm(WORKERS)
            await fabric.put(0)  # starts the threads that read and write files
        yield front


@pytest_asyncio.fixture(loop_scope="module")
async def front(shared_front: LambdaFront) -> AsyncIterator[LambdaFront]:
    """The shared front, at rest before and after."""
    yield shared_front
    shared_front.inject(None)
    await settled(shared_front)


@pytest_asyncio.fixture(loop_scope="module")
async def fabric(front: LambdaFront) -> AsyncIterator[af.Fabric]:
    """A Fabric on the shared front. It makes no copies: tests count what is executed."""
    async with af.Fabric(front.backend, max_concurrency=WORKERS, hedge=None) as fabric:
        yield fabric
