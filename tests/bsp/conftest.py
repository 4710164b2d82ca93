"""What the tests of bsp have in common."""

from collections.abc import AsyncIterator

import pytest_asyncio

from asyncfabric_runtime import _stores
from asyncfabric_runtime._bsp import _blocking


@pytest_asyncio.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """The thread and the stores of a worker last as long as its process, elsewhere."""
    yield
    _blocking.close()
    for store in _stores._stores.values():
        await store.aclose()
    _stores._stores.clear()
