"""Where a map's inputs come from. Pulled, never pushed: as many as there is room for."""

from __future__ import annotations

import asyncio
import weakref
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

SLICE_SECONDS = 0.001
"""A synchronous iterator is read on the loop for at most about this long at a stretch."""
_SLICE = 64


class Source(Protocol):
    """Inputs on demand."""

    def pull(self, count: int) -> tuple[list[Any], bool]:
        """Return up to `count` inputs, and whether more can be had at once by asking again.

        Raises `StopIteration` where there are no more, and whatever the user's iterator raises.
        """
        ...

    def pause(self) -> None:
        """Read no further until asked again."""
        ...

    def close(self) -> asyncio.Task[None] | None:
        """Read no further; return the task that lets the iterator clean up, if there is one."""
        ...


class Iterated:
    """A synchronous iterable, read on the loop in small slices."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator
        self._error: BaseException | None = None

    def pull(self, count: int) -> tuple[list[Any], bool]:
        """Read up to `count` inputs, stopping after about a millisecond."""
        if self._error is not None:
            raise self._error
        inputs: list[Any] = []
        until = perf_counter() + SLICE_SECONDS
        size = 1  # the first ones tell whether the iterator is slow
        while len(inputs) < count:
            wanted = min(len(inputs) + size, count)
            try:
                inputs.extend(islice(self._iterator, wanted - len(inputs)))
            except BaseException as error:
                if not inputs:
                    raise
                self._error = error  # what came before it counts
                break
            if len(inputs) < wanted:
                self._error = StopIteration()
                break
            if perf_counter() >= until:
                break
            size = min(2 * size, _SLICE)
        if not inputs:
            raise StopIteration
        return inputs, True

    def pause(self) -> None:
        """Do nothing: a synchronous iterator runs only when it is asked."""

    def close(self) -> None:
        """Do nothing: a synchronous iterator runs only when it is asked."""


_readers: set[asyncio.Task[None]] = set()
"""A loop holds its tasks weakly, and one that waits to be asked for more is held by nobody else."""


class AsyncIterated:
    """An asynchronous iterable, read by one task, ahead by no more than was asked for.

    While the iterator goes on without waiting, its inputs gather; as soon as it waits, the loop
    gets to the pump, which launches what is there. So an iterator that waits for results before it
    yields more never waits in vain.
    """

    def __init__(self, iterator: AsyncIterator[Any]) -> None:
        self._wake: Callable[[], Callable[[], None] | None] = _nobody
        self._iterator = iterator
        self._inputs: list[Any] = []
        self._wanted = 0
        self._more = asyncio.Event()
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def on_arrival(self, wake: Callable[[], None]) -> None:
        """Call a method when inputs arrive, as long as its object lives.

        The reading task must not keep a run alive, and with it a Map that was dropped.
        """
        self._wake = weakref.WeakMethod(wake)

    def _arrived(self) -> None:
        wake = self._wake()
        if wake is not None:
            wake()

    def pull(self, count: int) -> tuple[list[Any], bool]:
        """Return what has arrived, and ask for as much as is missing."""
        inputs, self._inputs = self._inputs[:count], self._inputs[count:]
        self._wanted = count - len(inputs)
        if not inputs and self._error is not None:
            error, self._error = self._error, StopIteration()
            raise error
        if self._error is None:
            self._more.set()
            if self._task is None:
                self._start(self._read())
        return inputs, bool(self._inputs) or self._error is not None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._task = asyncio.ensure_future(work)
        _readers.add(self._task)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        _readers.discard(task)
        self._task = None  # an error of its clean-up that nobody awaits is reported now

    async def _read(self) -> None:
        try:
            async for value in self._iterator:
                self._inputs.append(value)
                self._wanted -= 1
                self._arrived()
                while self._wanted <= 0:
                    self._more.clear()
                    await self._more.wait()
        except BaseException as error:
            self._error = error  # it is the map's to raise
            if self._closing and not isinstance(error, asyncio.CancelledError):
                raise
        else:
            self._error = StopIteration()
        finally:
            await self._finish()
        self._arrived()

    def pause(self) -> None:
        """Ask for no more than has arrived."""
        self._wanted = 0

    def close(self) -> asyncio.Task[None] | None:
        """Cancel the reading; the iterator sees a CancelledError where it waits."""
        if not self._closing:
            self._closing = True
            if self._task is not None:
                self._task.cancel()
            elif self._error is None:
                self._start(self._finish())
        return self._task

    async def _finish(self) -> None:
        """Let the iterator clean up, if it has begun anything."""
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            await aclose()


def _nobody() -> None:
    """Nobody waits for inputs yet."""
