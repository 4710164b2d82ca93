"""Where settled calls go: into one list, into a stream, or into futures that were handed out."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._call import Answered, Call
    from .scheduling import Block, FanOut

_UNSET: Any = object()


class Buffered:
    """A map's results: kept as blocks until someone iterates, or gathered into a list.

    Attributes:
        blocks: settled calls that nobody has taken yet, in the order of delivery.
        results: by index, once the map is awaited; `_UNSET` where there is none.
    """

    def __init__(self, fan_out: FanOut, *, return_exceptions: bool) -> None:
        self.blocks: deque[Block] = deque()
        self.results: list[Any] | None = None
        self.ended = False
        self.error: BaseException | None = None
        self._fan_out = fan_out
        self._return_exceptions = return_exceptions
        self._waiters: set[asyncio.Future[None]] = set()

    def deliver(self, blocks: list[Block]) -> None:
        """Keep settled calls, or put them into the list."""
        if self.results is None:
            self.blocks.extend(blocks)
            self._notify()
            return
        for block in blocks:
            self._collect(block)
        if self.error is not None:
            self._notify()

    def end(self, error: BaseException | None) -> None:
        """Know that nothing more comes."""
        self.ended = True
        if self.error is None:  # the last calls may have failed and ended the run in one
            self.error = error
        self._notify()

    def collect(self) -> None:
        """Gather into a list from now on, in whatever order calls settle."""
        fan_out = self._fan_out
        fan_out.bound, fan_out.adaptive = None, False
        if self.results is None:
            self.results = []
            waiting = fan_out.collect()
            for block in [*self.blocks, *waiting]:
                self._collect(block)
            self.blocks.clear()

    def _collect(self, block: Block) -> None:
        results = self.results
        assert results is not None  # noqa: S101 - this is the collecting mode
        first, count = block.first, len(block)
        self._fan_out.delivered += count
        missing = first + count - len(results)
        if missing > 0:
            results.extend([_UNSET] * missing)
        if block.error is None:
            results[first : first + count] = block.values
        elif self._return_exceptions:
            results[first] = block.error
        elif self.error is None:
            self.error = block.error

    def forget(self, index: int) -> None:
        """Do nothing: the calls of a map can't be cancelled one by one."""

    def restart(self) -> None:
        """Get ready for more, after the run was revived."""
        self.ended, self.error = False, None

    def finished(self) -> dict[int, Any]:
        """Return the values at hand, by index."""
        found: dict[int, Any] = {}
        if self.results is not None:
            return {
                index: value
                for index, value in enumerate(self.results)
                if value is not _UNSET
                and not (self._return_exceptions and _failed(self._fan_out, index))
            }
        for block in [*self.blocks, *self._fan_out.waiting()]:
            found.update(
                zip(range(block.first, block.first + len(block)), block.values, strict=False)
            )
        return dict(sorted(found.items()))

    async def wait(self) -> None:
        """Wait until something changes."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _failed(fan_out: FanOut, index: int) -> bool:
    return fan_out.failure(index) is not None


class HandedOut:
    """The futures of submitted calls."""

    def __init__(self, fan_out: FanOut) -> None:
        self.calls: dict[int, Call[Any]] = {}
        self.on_idle: Callable[[], None] = _nothing
        self._fan_out = fan_out

    def deliver(self, blocks: list[Block]) -> None:
        """Settle the futures."""
        take = self.calls.pop
        for block in blocks:
            self._fan_out.delivered += len(block)
            record: Answered | None = block.record
            if block.error is not None:
                call = take(block.first, None)
                if call is not None and not call.done():
                    call.settle(record, len(record.run) if record is not None else 0)
                    call.keep_history()
                    call.set_exception(block.error)
                self._fan_out.forget(block)
                continue
            offset = block.offset
            for index, value in enumerate(block.values, block.first):
                call = take(index, None)
                if call is not None and not call.done():
                    call.settle(record, offset)
                    call.keep_history()
                    call.set_result(value)
                offset += 1
        if not self.calls:
            self.on_idle()

    def forget(self, index: int) -> None:
        """Keep a cancelled call no longer."""
        if self.calls.pop(index, None) is not None:
            self._fan_out.delivered += 1
            if not self.calls:
                self.on_idle()

    def end(self, error: BaseException | None) -> None:
        """Settle what is left: with the error, or as cancelled."""
        calls, self.calls = self.calls, {}
        for call in calls.values():
            if call.done():
                continue
            if error is not None:
                call.set_exception(error)
            else:
                call.drop("the Fabric was closed")


def _nothing() -> None:
    """Nobody has to be told."""
