"""Fixtures: where drivers come from, and trials of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.leaks import KEPT

from .campaign import Trials
from .nursery import Nursery


@pytest.fixture(scope="session")
def nursery_process() -> Iterator[Nursery]:
    nursery = Nursery()
    KEPT.processes.add(nursery.process.pid)
    KEPT.descriptors.update(nursery.descriptors)
    yield nursery
    nursery.close()
    KEPT.processes.discard(nursery.process.pid)
    KEPT.descriptors.difference_update(nursery.descriptors)


@pytest.fixture
async def nursery(nursery_process: Nursery) -> AsyncIterator[Nursery]:
    async with nursery_process:
        yield nursery_process


@pytest.fixture
def trials(nursery: Nursery, tmp_path: Path) -> Trials:
    return Trials(nursery, tmp_path)
