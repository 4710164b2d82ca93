"""Starts drivers, and knows when they, and all that they started, are over."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from .program import Order
from .steps import kill, session_of

ROOT = Path(__file__).parents[2]


class Driver:
    """A driver that was started.

    Attributes:
        pid: its process, and its session.
        status: what it exits with; minus a signal's number.
    """

    def __init__(self, pid: int, status: "asyncio.Future[int]") -> None:
        self.pid = pid
        self.status = status

    def kill(self) -> None:
        """Kill the driver's process, not its workers'."""
        kill([self.pid])

    async def over(self) -> int:
        """Wait until the driver has ended and no process of its own is left; return its status.

        Raises `TimeoutError` where some are left after 20 s, by which they were killed.
        """
        status = await self.status
        try:
            async with asyncio.timeout(20):
                while left := session_of(self.pid):
                    await _ended(left[0])
        except TimeoutError:
            kill(session_of(self.pid))
            raise
        return status


async def _ended(pid: int) -> None:
    """Wait until a process has ended, whoever's child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Nursery:
    """A process from which drivers are forked; see `program`.

    The process lives until `close`; inside `async with`, a loop hears what it says.
    """

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # no threads before a fork
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._orders, self._said = self.process.stdin.fileno(), self.process.stdout.fileno()
        self._rest = b""
        self._born: asyncio.Future[int] | None = None
        self._living: dict[int, asyncio.Future[int]] = {}

    @property
    def descriptors(self) -> set[int]:
        """The pipes to it."""
        return {self._orders, self._said}

    async def start(self, order: Order) -> Driver:
        """Start a driver; one after another."""
        self._born = asyncio.get_running_loop().create_future()
        os.write(self._orders, order.dump().encode() + b"\n")
        pid = await self._born
        return Driver(pid, self._living[pid])

    def _listen(self) -> None:
        *lines, self._rest = (self._rest + os.read(self._said, 4096)).split(b"\n")
        for line in lines:
            what, *numbers = line.split()
            pid = int(numbers[0])
            if what == b"begun":
                assert self._born is not None
                self._living[pid] = asyncio.get_running_loop().create_future()
                self._born.set_result(pid)
            else:
                self._living.pop(pid).set_result(int(numbers[1]))

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._said, self._listen)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ends = list(self._living.values())
        for pid in self._living:
            kill(session_of(pid))
        if ends:
            await asyncio.wait(ends)
        asyncio.get_running_loop().remove_reader(self._said)

    def close(self) -> None:
        """End it."""
        with self.process:
            assert self.process.stdin is not None
            self.process.stdin.close()
