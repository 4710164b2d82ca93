"""Calls of a coroutine function, all at once."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from ._context import Slot, enter
from ._failure import ARGUMENT, USER, failure_of, timed_out, traceback_of
from ._steps import WAITING, Announced

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ._invocation import Invocation
    from ._outcome import Outcome


class Tasks:
    """The calls of one invocation, each in a task of the running loop.

    `emit`, if there is one, is given the answers as the calls end.
    """

    def __init__(self, invocation: Invocation, emit: Callable[[Outcome], None] | None) -> None:
        self._invocation = invocation
        self._emit = emit
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._flushing = False

    def runs(self, position: int) -> bool:
        """Tell whether the call at a position is running."""
        task = self._tasks.get(position)
        return task is not None and not task.done()

    def cancel(self, positions: Collection[int] | None) -> None:
        """Cancel running calls, None: all of them."""
        for position, task in self._tasks.items():
            if positions is None or position in positions:
                task.cancel()

    async def run(self) -> None:
        """Run all calls that wait, to their ends."""
        invocation = self._invocation
        invocation.since = perf_counter()
        if invocation.on_begin is not None:
            invocation.on_begin(invocation.since)
        while True:
            try:
                position = invocation.pending.popleft()
            except IndexError:
                break
            self._tasks[position] = asyncio.ensure_future(self._run_one(position))
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _run_one(self, position: int) -> None:
        invocation, record = self._invocation, self._invocation.record
        enter(Slot(invocation, position, record.transcripts))
        started = perf_counter()
        seconds = self._seconds()
        limit = asyncio.timeout(seconds)
        kind = ARGUMENT
        try:
            argument = invocation.argument(position)
            started = perf_counter()
            kind = USER
            async with limit:
                value = await Announced(
                    invocation.invoke(argument),
                    invocation.page,
                    invocation.announced + position,
                    invocation.announced + WAITING,
                )
        except BaseException as error:  # noqa: BLE001 - whatever user code raises
            if limit.expired():
                failure = timed_out(seconds, traceback_of(error))
            else:
                failure = failure_of(error, kind, as_text=invocation.plan.data_results)
            record.failures[position] = failure
        else:
            ran = perf_counter() - started
            if invocation.plan.keeps:
                await record.add_kept(position, value, ran)
            else:
                record.add(position, value, ran)
        if self._emit is not None and not self._flushing:
            # One outcome for all calls that end in this pass of the loop.
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush, self._emit)

    def _seconds(self) -> float | None:
        """Return how long a call that begins now may take."""
        timeout, until = self._invocation.plan.timeout, self._invocation.until
        if until is None:
            return timeout
        left = max(0.0, until - perf_counter())
        return left if timeout is None else min(left, timeout)

    def _flush(self, emit: Callable[[Outcome], None]) -> None:
        self._flushing = False
        record = self._invocation.record
        if len(record):
            emit(record.outcome(final=False))
