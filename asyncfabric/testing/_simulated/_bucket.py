"""The simulated S3: one request at a time, with its latency and what may go wrong with it."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from asyncfabric.testing._admission import Bucket as Allowance

from ._network import network

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._chances import Chances
    from ._ledger import Ledger
    from ._profile import StoreProfile

T = TypeVar("T")

Operation: TypeAlias = Literal["get", "head", "list", "put", "delete"]

_SPLITTING_SECONDS = 600.0
"""A partition that has had more requests than it takes for so long is divided into two."""
_PAUSE_SECONDS = 60.0
"""If it has had fewer for so long meanwhile, that begins anew."""


class RefusedError(Exception):
    """S3 answered with an error: 409, 412 or 503."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class LostError(Exception):
    """The request was carried out; its answer was lost."""


class Bucket:
    """The service behind a simulated store."""

    def __init__(self, profile: StoreProfile, chances: Chances, ledger: Ledger) -> None:
        self._profile = profile
        self._ledger = ledger
        stream = chances.stream
        self._latencies = stream("store latency")
        self._stalls = stream("store stall")
        self._losses = stream("store loss")
        self._conflicts = stream("store conflict")
        self._errors = stream("store error")
        self._reads = _Partition(profile.reads_per_second)
        self._writes = _Partition(profile.writes_per_second)

    async def request(
        self,
        operation: Operation,
        act: Callable[[], T],
        size: int | Callable[[T], int] = 0,
        *,
        conditional: bool = False,
    ) -> T:
        """Carry a request out, at once and as a whole, half its latency from now.

        `size` is how many bytes go over the wire, or tells it of what `act` returned. Raises
        `RefusedError`, `LostError` and what `act` raises.
        """
        profile = self._profile
        now = asyncio.get_running_loop().time
        writes = operation in {"put", "delete"}
        half = (profile.write if writes else profile.read).draw(self._latencies) / 2
        self._ledger.requests[operation] += 1
        if isinstance(size, int) and size:
            await self._carry(size)
        if profile.stalls and self._stalls.random() < profile.stalls:
            await asyncio.sleep(profile.stall.draw(self._stalls))
        await asyncio.sleep(half)
        status = 0
        if not (self._writes if writes else self._reads).admits(now()) or (
            profile.errors and self._errors.random() < profile.errors
        ):
            status = 503
        elif conditional and profile.conflicts and self._conflicts.random() < profile.conflicts:
            status = 409
        if status:
            await asyncio.sleep(half)
            self._refuse(status)
        try:
            result = act()
        except RefusedError as error:
            await asyncio.sleep(half)
            self._ledger.refused[str(error.status)] += 1
            raise
        lost = profile.lost > 0 and self._losses.random() < profile.lost
        if callable(size):
            await self._carry(size(result))
        await asyncio.sleep(half)
        if lost:
            self._ledger.refused["lost"] += 1
            raise LostError
        return result

    async def _carry(self, size: int) -> None:
        """Let a body pass, over a connection and its machine's network."""
        seconds = size / self._profile.bytes_per_second
        machine = network.get()
        if machine is not None:
            seconds = max(seconds, machine.seconds(size, asyncio.get_running_loop().time()))
        await asyncio.sleep(seconds)

    def _refuse(self, status: int) -> None:
        self._ledger.refused[str(status)] += 1
        raise RefusedError(status)


class _Partition:
    """How many requests a prefix takes."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._allowance = Allowance(rate, rate, 0.0)
        self._since = self._last = -inf

    def admits(self, now: float) -> bool:
        """Take a request in, or refuse it."""
        if self._allowance.take(now):
            return True
        if now - self._last > _PAUSE_SECONDS:
            self._since = now
        self._last = now
        if now - self._since >= _SPLITTING_SECONDS:
            self._last = -inf
            self._rate *= 2
            self._allowance = Allowance(self._rate, self._rate, now)
        return False
