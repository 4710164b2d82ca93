"""What the tests of backends share: marks left by calls, a receiver that takes notes."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Literal

import psutil

from asyncfabric.backends import Backend
from asyncfabric.backends.local import LocalBackend
from asyncfabric.backends.local._worker import Worker
from asyncfabric_runtime import Envelope, Outcome
from asyncfabric_storage import MemoryStore
from tests.runtime.helpers import answers, envelope_for

PATIENCE = 30.0  # seconds until a test gives up on what it waits for


def mark(path: str, text: str = "x") -> None:
    """Leave a mark, in one write: calls of several processes do it at once."""
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def marks(path: str | Path) -> str:
    """Return the marks that were left."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait in a call until something has happened outside."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.001)


async def happens(condition: Callable[[], object]) -> None:
    """Wait in the driver until something has happened outside."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.001)


def children() -> list[int]:
    """Return the process ids of the running workers."""
    return [child.pid for child in psutil.Process().children() if "asyncfabric" in _command(child)]


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(list(Path("/dev/fd").iterdir()))


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


class Recorder:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.returned: list[tuple[int, list[int] | None]] = []
        self.lost: list[tuple[int, list[int] | None, Exception]] = []
        self.broken: list[Exception] = []
        self.throttled: list[tuple[int, str]] = []
        self.progress: list[tuple[int, int, float]] = []
        self.began: list[tuple[int, float]] = []
        self.random = Random(0)
        self._news = asyncio.Event()

    def on_outcome(self, outcome: Outcome, worker: str, size: int) -> None:
        self.outcomes.append(outcome)
        self._news.set()

    def on_returned(
        self,
        flight: int,
        positions: list[int] | None,
        *,
        after: float = 0.0,
        alone: bool = False,
    ) -> None:
        self.returned.append((flight, positions))
        self._news.set()

    def on_lost(
        self,
        flight: int,
        running: list[int] | None,
        error: Exception,
        worker: str,
        *,
        retryable: bool = True,
        ran: bool = True,
    ) -> None:
        self.lost.append((flight, running, error))
        self._news.set()

    def on_throttled(
        self,
        flight: int,
        *,
        scarce: Literal["concurrency", "rate", "reach"],
        retry_after: float | None,
        error: Exception,
    ) -> None:
        self.throttled.append((flight, scarce))
        self._news.set()

    def on_began(self, flight: int, at: float) -> None:
        self.began.append((flight, at))
        self._news.set()

    def on_progress(
        self, flight: int, position: int, fraction: float, at: float | None = None
    ) -> None:
        self.progress.append((flight, position, fraction))
        self._news.set()

    def on_refused(self, flight: int, error: Exception) -> None:
        self.lost.append((flight, None, error))
        self._news.set()

    def on_room(self) -> None:
        self._news.set()

    def on_broken(self, error: Exception) -> None:
        self.broken.append(error)
        self._news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the backend has told something."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def values(self, flight: int) -> dict[int, Any]:
        """Return the answers of an invocation."""
        found: dict[int, Any] = {}
        for outcome in self.outcomes:
            if outcome.flight == flight:
                found |= answers(outcome)
        return found

    def ended(self, flight: int) -> bool:
        """Tell whether the last outcome of an invocation is there."""
        return any(outcome.final for outcome in self.outcomes if outcome.flight == flight)


class Bench:
    """A backend and its recorder."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.heard = Recorder()
        self._last = 0

    async def open(self) -> None:
        """Open the backend and wait until all workers can be used."""
        self.backend.open(self.heard, MemoryStore())
        probe = self.envelope(abs, [1])
        await self.heard.until(lambda: self.backend.room(probe.plan) >= self.backend.lanes)

    def envelope(
        self, function: Callable[..., Any], inputs: Iterable[Any], **options: Any
    ) -> Envelope:
        """Make an envelope with a flight of its own."""
        self._last += 1
        options.setdefault("flight", self._last)
        return envelope_for(function, list(inputs), **options)

    def launch(
        self,
        function: Callable[..., Any],
        inputs: Iterable[Any],
        *,
        seconds: float | None = None,
        **options: Any,
    ) -> int:
        """Launch an invocation; return its flight."""
        envelope = self.envelope(function, inputs, **options)
        code = {name: bytes(data) for name, data in envelope.attachments.items()}
        envelope.attachments = {}
        self.backend.launch(envelope, code, seconds)
        return envelope.flight

    @property
    def worker(self) -> Worker:
        """The first worker of a local backend."""
        assert isinstance(self.backend, LocalBackend)
        return self.backend._workers[0]

    async def load(self, function: Callable[..., Any]) -> None:
        """Have the workers load a function: what they are slow to begin is given back."""
        await self.call(function)

    async def call(self, function: Callable[..., Any], *inputs: Any, **options: Any) -> list[Any]:
        """Launch an invocation and wait for its answers."""
        flight = self.launch(function, inputs, **options)
        await self.heard.until(lambda: self.heard.ended(flight))
        return [value for _, value in sorted(self.heard.values(flight).items())]
