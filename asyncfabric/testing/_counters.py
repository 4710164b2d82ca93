"""What a front has done so far, for tests to look at and to wait for."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Counters:
    """What a `LambdaFront` has done since it was opened. It counts; don't write to it.

    Attributes:
        requests: requests to invoke that have arrived, refused ones included.
        statuses: answered requests by HTTP status; lost replies and resets have none.
        executions: invocations that were handed to a worker.
        throttles: requests refused with 429, by limits or by faults.
        function_errors: executions that ended without an answer of the function's own.
        resets: connections reset by faults, lost replies included.
        environments: worker processes started. A failed start is tried once more, and counts twice.
        running: invocations that are running now.
        peak: the most invocations that ran at a time.
    """

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    executions: int = 0
    throttles: int = 0
    function_errors: int = 0
    resets: int = 0
    environments: int = 0
    running: int = 0
    peak: int = 0


class Tally:
    """Counters, and those who wait for one of them to change."""

    def __init__(self) -> None:
        self.counters: Counters = Counters()
        self._waiting: list[asyncio.Future[None]] = []

    def changed(self) -> None:
        """Wake those who wait."""
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, condition: Callable[[Counters], object]) -> None:
        """Wait until the condition holds."""
        while not condition(self.counters):
            future = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
