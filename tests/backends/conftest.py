"""Fixtures of the backends' tests."""

from collections.abc import AsyncIterator

import pytest

from asyncfabric.backends.local import LocalBackend
from tests.backends.helpers import Bench


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Give one worker process, ready."""
    made = Bench(LocalBackend(1))
    await made.open()
    yield made
    await made.backend.aclose()
