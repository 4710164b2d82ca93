"""Heartbeats: what workers write to the store while their calls run, as the driver reads it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING

from asyncfabric._exceptions import FabricError
from asyncfabric_runtime._heartbeat import read_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfabric.backends._protocol import Receiver
    from asyncfabric_storage import ObjectStore

    from ._held import Held

INTERVAL_SECONDS = 5.0
"""Between two heartbeats of an invocation. A write to S3 costs what 0.3 GB-s of Lambda cost."""
MOST_A_SECOND = 200
"""Heartbeats of all invocations together; with very many of them, each tells more rarely."""
_LOOKS = 2
"""So often the driver looks between two heartbeats."""
_GRACE = 1.1
"""What a worker writes first is there after so many intervals."""
_MOST_KEYS = 10_000
_FAILURES = 3
_CLEANUP_SECONDS = 5.0

_log = logging.getLogger("asyncfabric.backends")


class Heartbeats:
    """Reads the heartbeats of a backend's invocations: one listing brings them all.

    It looks only while there are invocations that are old enough to have written any, and deletes
    what it has read, so that the next listing is short. Nothing of what it finds is trusted: the
    worst that a forged name can do is a copy too many.

    Args:
        held: the invocations that are on their way, oldest first.
        lanes: how many there may be.

    Attributes:
        prefix: what stands before the names; nobody can guess it.
        seconds: the interval.
    """

    def __init__(self, held: Mapping[int, Held], lanes: int) -> None:
        self.prefix: str = f"progress/{os.urandom(16).hex()}"
        self.seconds: float = max(INTERVAL_SECONDS, lanes / MOST_A_SECOND)
        self._held = held
        self._receiver: Receiver | None = None
        self._store: ObjectStore | None = None
        self._watch: asyncio.Task[None] | None = None
        self._unread = False
        """Something may have been written since the last look."""
        self._failures = 0

    def open(self, receiver: Receiver, store: ObjectStore) -> None:
        """Learn where to look and whom to tell."""
        self._receiver, self._store = receiver, store

    def launched(self) -> None:
        """Know that an invocation was launched."""
        if self._watch is None and self._failures < _FAILURES:
            self._watch = asyncio.ensure_future(self._look_while_held())

    def landed(self, held: Held) -> None:
        """Know that an invocation is over."""
        age = asyncio.get_running_loop().time() - held.launched
        self._unread = self._unread or age >= self.seconds

    async def aclose(self) -> None:
        """Stop looking; delete what is left. What workers write later expires in the bucket."""
        self._receiver = None
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._unread:
            with contextlib.suppress(FabricError, TimeoutError):
                async with asyncio.timeout(_CLEANUP_SECONDS):
                    await self._look()

    async def _look_while_held(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._held:  # others may be launched during the last look
                while (oldest := next(iter(self._held.values()), None)) is not None:
                    early = oldest.launched + _GRACE * self.seconds - loop.time()
                    if early > 0:
                        await asyncio.sleep(early)
                    elif await self._look_safely():
                        await asyncio.sleep(self.seconds / _LOOKS)
                    else:
                        return
                if self._unread:
                    await self._look_safely()
        finally:
            self._watch = None

    async def _look_safely(self) -> bool:
        """Look; return whether it is worth going on."""
        try:
            await self._look()
        except FabricError as error:
            self._failures += 1
            if self._failures == _FAILURES:
                _log.warning(
                    "heartbeats can't be read, so calls that take too long are found by their "
                    "time alone; see that the driver may list and delete in its storage: %s",
                    error,
                )
            return self._failures < _FAILURES
        self._failures = 0
        return True

    async def _look(self) -> None:
        assert self._store is not None  # noqa: S101 - it is open
        keys: list[str] = []
        self._unread = False
        try:
            async for info in self._store.list(f"{self.prefix}/"):
                keys.append(info.key)
                if len(keys) == _MOST_KEYS:
                    break
            self._tell(keys)
            await self._store.delete_many(keys)
        except BaseException:
            self._unread = True
            raise
        self._unread = bool(self._held)

    def _tell(self, keys: list[str]) -> None:
        now = asyncio.get_running_loop().time()
        start = len(self.prefix) + 1
        for found in sorted(filter(None, (read_name(key[start:]) for key in keys))):
            flight, _, report = found
            held = self._held.get(flight)
            if held is not None and report.position < held.calls and self._receiver is not None:
                held.heard.tell(self._receiver, flight, report, now)
