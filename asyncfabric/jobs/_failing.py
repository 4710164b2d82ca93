"""Failures of a durable job: they are what their inputs have come to, before anybody sees them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from asyncfabric._exceptions import RemoteError, SerializationError
from asyncfabric_runtime._failure import describe

from ._results import Failed

if TYPE_CHECKING:
    from asyncfabric._around import Delivery
    from asyncfabric._run import Run
    from asyncfabric.scheduling import Block

    from ._driving import Driving


class Failing:
    """Stands before a run's delivery until the run ends; the order of what passes stays as it is.

    A run that is revived gets another one.

    Where the first failure ends the map, failures pass as they are: run again, it tries again.

    Attributes:
        passed_over: a failure was delivered that is not what its input has come to.
        ended: the run has ended, and may have been revived since.
    """

    def __init__(self, run: Run, driving: Driving, target: Delivery) -> None:
        self._run = run
        self._driving = driving
        self._target = target
        self.passed_over = False
        self.ended = False
        self._waiting: deque[Block] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    def deliver(self, blocks: list[Block]) -> None:
        """Let settled calls pass, after those before them."""
        if not self._waiting and not any(self._is_new(block) for block in blocks):
            self._pass(blocks)
            return
        self._waiting.extend(blocks)
        if self._idle.is_set():
            self._idle.clear()
            self._run.dispatcher.later(self._work())

    def forget(self, index: int) -> None:
        """Pass it on."""
        self._target.forget(index)

    def end(self, error: BaseException | None) -> None:
        """Pass it on, after what is left: nobody waits for the store any more."""
        self.ended = True
        left = list(self._waiting)
        self._waiting.clear()
        if left:
            self._pass(left)
        self._target.end(error)

    async def passed(self) -> None:
        """Wait until everything has passed."""
        await self._idle.wait()

    def finish(self, error: BaseException | None) -> None:
        """End the run, unless it has ended: it may have been revived since."""
        if not self.ended:
            self._run.finish(error)

    def _pass(self, blocks: list[Block]) -> None:
        self.passed_over = self.passed_over or any(map(self._is_open, blocks))
        self._target.deliver(blocks)

    def _is_open(self, block: Block) -> bool:
        return block.error is not None and block.first not in self._driving.job.done

    def _is_new(self, block: Block) -> bool:
        return self._is_open(block) and not self._run.fan_out.fail_fast

    async def _work(self) -> None:
        try:
            while self._waiting:
                block = self._waiting[0]
                if self._is_new(block):
                    block = await self._commit(block)
                if self._waiting:  # else the run has ended meanwhile
                    self._waiting.popleft()
                    self._pass([block])
        except Exception as error:  # noqa: BLE001 - it is the map's to raise
            self.finish(error)
        finally:
            self._idle.set()

    async def _commit(self, block: Block) -> Block:
        """Make a failure what its input has come to; another's result may have been first."""
        assert block.error is not None  # noqa: S101 - for the type checker
        driving, index, value = self._driving, block.first, block.inputs[0]
        subject = await driving.subject(value)
        number = len(self._run.history.get(index, ())) + 1
        failed = failed_of(block.error, as_data=self._run.plan.data_results)
        committed = await driving.job.fail(index, number, subject, failed)
        if committed.failed is not None:
            return block
        try:
            found = await driving.value(committed)
        except SerializationError:
            return block  # it may have failed for that: the result can't be read here
        self._run.fan_out.mended(index)
        return replace(block, values=[found], error=None, record=None)


def failed_of(error: BaseException, *, as_data: bool) -> Failed:
    """Tell of an exception in a way that can be kept; `as_data`: without any pickle."""
    told = describe(error, as_text=as_data)
    remote = error.__cause__
    traceback = told.traceback if remote is None else str(remote)
    name, message = told.type_name, told.message
    if as_data and isinstance(error, RemoteError) and error.type_name:
        # It is made anew of the name and the message that came from the worker.
        name = error.type_name
        message = "" if message == name else message.removeprefix(f"{name}: ")
    return Failed(told.kind, name, message, traceback, told.pickled or b"", 0)
