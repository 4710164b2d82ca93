"""Calls of durable jobs: their results are kept when their simulated time is over, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric_runtime._invocation import Invocation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class DiedError(Exception):
    """The environment ended before the calls did."""


class Lasting(Invocation):
    """An invocation that knows when its calls are over, by simulated time."""

    before: Callable[[], Awaitable[None]]
    """Returns when they are. Raises `DiedError`."""

    async def keep_here(self) -> None:
        """Write results to the store, when the calls are over."""
        if self.plan.area is not None:
            await self.before()
        await super().keep_here()
