"""Tests that are coroutines run on virtual time here."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from asyncfabric.testing._simulated._loop import VirtualLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"virtual": VirtualLoop}
