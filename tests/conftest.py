"""Fixtures and hooks for every test."""

import asyncio
import faulthandler
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping

import obstore
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from obstore.store import MemoryStore

from tests.cloud.fixtures import (
    bucket,
    cloud,
    make_environments,
    ministack_url,
    moto_url,
    start_ministack,
)
from tests.leaks import leaked_since, snapshot
from tests.redis_server import redis_url, start_redis

# fixtures
__all__ = [
    "bucket",
    "cloud",
    "ministack_url",
    "moto_url",
    "redis_url",
    "start_ministack",
    "start_redis",
]

# Nothing is timed: a slow machine is no bug.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

_scratch: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Give the run its own temporary directory, so that leak checks see nobody else's files."""
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    scratch = tempfile.mkdtemp(prefix="af-tests-")
    _scratch.append(scratch)
    os.environ["TMPDIR"] = tempfile.tempdir = scratch
    uvloop.new_event_loop().close()  # opens a pipe that stays open until the process ends
    # Its threads start with the first operation and keep a few descriptors.
    obstore.put(MemoryStore(), "warm-up", b"")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the environments of the emulators that the tests ask for."""
    if not session.config.option.collectonly:
        make_environments(session.config, session.items)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the run's temporary directory, and see to it that the interpreter ends.

    A thread that is left behind would keep it waiting for ever.
    """
    faulthandler.dump_traceback_later(30, exit=True)
    while _scratch:
        shutil.rmtree(_scratch.pop(), ignore_errors=True)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run tests on the stock loop; those marked ``every_loop`` on uvloop too."""
    stock = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("every_loop"):
        return {**stock, "uvloop": uvloop.new_event_loop}
    return stock


@pytest.fixture(autouse=True)
def leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves processes, threads, descriptors or directories behind."""
    if request.node.get_closest_marker("leaky"):
        yield
        return
    before = snapshot()
    yield
    if leaks := leaked_since(before):
        pytest.fail("left behind: " + "; ".join(leaks))
