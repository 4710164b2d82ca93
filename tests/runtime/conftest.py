"""Fixtures of the runtime's tests."""

from collections.abc import Iterator

import pytest

from tests.runtime.helpers import Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Give a worker's state of its own."""
    made = Worker()
    yield made
    made.close()
