"""Fixtures of these tests."""

import secrets
from collections.abc import AsyncIterator

import pytest_asyncio

from asyncfabric.params import ParameterServer


@pytest_asyncio.fixture
async def ps(redis_url: str) -> AsyncIterator[ParameterServer]:
    """An empty parameter server of the test's own, on a Redis that others use too."""
    async with ParameterServer(redis_url, name=secrets.token_hex(6)) as server:
        yield server
