"""`Map`: the handle of one fan-out. Await it for a list, or iterate over it for a stream."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from ._call import Call
from ._stats import MapStats, figures

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self

    from ._deliveries import Buffered
    from ._run import Run
    from .scheduling import Block

R = TypeVar("R")

_CLOSED_EARLY = (
    "this map was closed, or its Fabric was, before it was finished; keep the Fabric open for as "
    "long as its maps are used"
)


class Map(Awaitable[list[R]], AsyncIterator[R], Generic[R]):
    """One fan-out.

    It starts when it is first awaited, iterated or `start()`ed; a Map that is dropped unused warns
    like a coroutine that was never awaited, and one that is dropped while it runs stops.

        prices = await fabric.map(price, seeds)              # a list, in input order

        async with fabric.map(price, seeds) as stream:       # a stream
            async for value in stream:
                ...

    After a failure or a cancellation it keeps its work: `finished()`, `failed()`, and
    `await m.retry()` runs only the inputs that are not finished.
    """

    def __init__(
        self, begin: Callable[[], tuple[Run, Buffered]], *, return_exceptions: bool
    ) -> None:
        self._begin: Callable[[], tuple[Run, Buffered]] | None = begin
        self._return_exceptions = return_exceptions
        self._used_as: str | None = None
        self._run: Run | None = None
        self._buffer: Buffered | None = None
        self._block: Block | None = None
        self._place = 0
        self._closed = self._raised = False

    # -- starting -------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start running now; results wait, up to the buffer's size, until they are asked for.

        Returns the Map itself. Raises what `Fabric.map` raises for what can't be run.
        """
        if self._run is None:
            self._begin_now()
        return self

    def _begin_now(self) -> None:
        if self._begin is None:
            msg = "this map is closed; make a new one with fabric.map(...)"
            raise RuntimeError(msg)
        begin, self._begin = self._begin, None
        self._run, self._buffer = begin()

    def _claim(self, use: str) -> tuple[Run, Buffered]:
        if self._used_as not in (None, use):
            msg = (
                f"this map is being {self._used_as} already: a Map is awaited or iterated, not "
                "both; make another one with fabric.map(...)"
            )
            raise RuntimeError(msg)
        self._used_as = use
        if self._run is None:
            self._begin_now()
        assert self._run is not None  # noqa: S101 - start() has made them
        assert self._buffer is not None  # noqa: S101
        return self._run, self._buffer

    # -- awaiting -------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, list[R]]:
        return self._gather().__await__()

    async def _gather(self) -> list[R]:
        run, buffer = self._claim("awaited")
        buffer.collect()
        try:
            run.wake()  # the buffer's bound is gone
            while not buffer.ended and buffer.error is None:
                await buffer.wait()
            run.finish(buffer.error)
        except BaseException:
            run.finish(None)
            raise
        if buffer.error is not None:
            raise buffer.error
        if run.fan_out.unfinished:
            raise RuntimeError(_CLOSED_EARLY)
        assert buffer.results is not None  # noqa: S101 - collect() has made them
        return buffer.results

    # -- iterating ------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        block, place = await self._next("iterated")
        if block.error is not None:
            if self._return_exceptions:
                return cast("R", block.error)  # R includes Exception then
            raise block.error
        value: R = block.values[place]
        return value

    async def next_call(self) -> Call[R]:
        """Return the next settled call; raise `StopAsyncIteration` after the last one.

        This is what `asyncfabric.as_completed` iterates by.
        """
        run, _ = self._claim("iterated")
        if run.fan_out.tolerate():
            run.wake()  # a failure had halted it
        block, place = await self._next("iterated")
        call: Call[R] = Call(run, block.first + place, block.inputs[place], run.loop)
        if block.error is not None:
            call.settle(block.record, len(block.record.run) if block.record is not None else 0)
            call.set_exception(block.error)
            # Whoever leaves the stream early doesn't have to look at every error.
            call._log_traceback = False  # noqa: SLF001 - asyncio's own switch for this
        else:
            call.settle(block.record, block.offset + place)
            call.set_result(block.values[place])
        return call

    async def _next(self, use: str) -> tuple[Block, int]:
        """Return a block and the place of the next call in it."""
        run, buffer = self._claim(use)
        if self._raised:
            raise StopAsyncIteration
        fan_out = run.fan_out
        block = self._block
        if block is None or self._place >= len(block):
            self._block = None
            while not buffer.blocks:
                if buffer.ended:
                    if buffer.error is not None:
                        error, buffer.error = buffer.error, None
                        self._raised = True
                        raise error
                    if fan_out.unfinished and not self._closed:
                        # Its end would be taken for that of the results.
                        raise RuntimeError(_CLOSED_EARLY)
                    raise StopAsyncIteration
                await buffer.wait()
            block = self._block = buffer.blocks.popleft()
            self._place = 0
        place = self._place
        self._place = place + 1
        fan_out.delivered += 1
        if block.error is not None and fan_out.fail_fast:
            self._raised = True
            run.finish(None)
        elif fan_out.starved:
            run.wake()
        return block, place

    # -- its work -------------------------------------------------------------------------------

    @property
    def stats(self) -> MapStats:
        """How far the map is."""
        return MapStats() if self._run is None else MapStats(*figures(self._run.fan_out))

    def finished(self) -> dict[int, R]:
        """Return the values at hand, by index: all of an awaited map, of a stream the untaken."""
        if self._buffer is None:
            return {}
        found = dict(self._buffer.finished())
        block = self._block
        if block is not None and block.error is None:
            rest = range(block.first + self._place, block.first + len(block))
            found.update(zip(rest, block.values[self._place :], strict=True))
        return dict(sorted(found.items()))

    def failed(self) -> dict[int, BaseException]:
        """Return the errors of the calls that failed for good, by index."""
        return {} if self._run is None else self._run.fan_out.failures()

    def retry(self) -> Self:
        """Run again what is not finished, under its old indices, and return the Map itself.

        `await m.retry()` gives the whole list; a stream goes on where it was left.

        Raises `RuntimeError` while the map still runs.
        """
        run, buffer = self._run, self._buffer
        if run is None or buffer is None:
            return self
        if not run.over:
            msg = "this map is still running; retry() is for one that has failed or was cancelled"
            raise RuntimeError(msg)
        if self._closed:
            msg = "this map is closed; make a new one with fabric.map(...)"
            raise RuntimeError(msg)
        undelivered = list(buffer.blocks)
        if self._block is not None and self._place < len(self._block):
            undelivered.insert(0, _rest(self._block, self._place))
        self._block = None
        self._raised = False
        buffer.blocks.clear()
        buffer.restart()
        buffer.blocks.extend(run.revive(undelivered))
        return self

    async def aclose(self) -> None:
        """Stop: launch nothing more, cancel what runs, read no further input and close it.

        Whoever iterates over it comes to the end, as with a generator; whoever awaits it gets a
        `RuntimeError`. Raises what an asynchronous input raises when it is closed.
        """
        self._closed = True
        self._begin = None
        closing = None if self._run is None else self._run.close()
        if closing is not None and closing is not asyncio.current_task():
            await asyncio.wait([closing])
            if not closing.cancelled():
                closing.result()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        begin = getattr(self, "_begin", None)
        run = getattr(self, "_run", None)
        if run is not None:
            run.abandon()
        elif begin is not None:
            warnings.warn(
                "a Map was never awaited, iterated or started",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )


def _rest(block: Block, place: int) -> Block:
    if not place:
        return block
    return type(block)(
        first=block.first + place,
        inputs=block.inputs[place:],
        values=block.values[place:],
        error=block.error,
        record=block.record,
        offset=block.offset + place,
    )
