"""Tasks that pull from one source: as many as may be in flight, instead of one for each item."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable
from itertools import count
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

_T = TypeVar("_T")

_SLICE = 32
"""Items after which a pump lets the loop run, since a store in memory never makes it wait."""


class Gets(Protocol):
    """The part of a store that reads need."""

    async def get(self, key: str, /) -> memoryview:
        """Return the object's bytes."""
        ...


class Pumps(Generic[_T]):
    """Tasks that take items from one source and work on them, at most `concurrency` of them.

    Each task starts the next when it has found an item: three items never cost 64 tasks. The
    first error ends the work of all.

    Raises:
        ConfigurationError: `concurrency` is below 1.
    """

    def __init__(
        self,
        source: "Iterable[_T] | AsyncIterable[_T]",
        work: "Callable[[_T], Awaitable[None]]",
        concurrency: int,
    ) -> None:
        if concurrency < 1:
            msg = f"concurrency must be at least 1, not {concurrency}; the default is 64"
            raise ConfigurationError(msg)
        self.concurrency = concurrency
        self.tasks: set[asyncio.Task[None]] = set()
        self.error: BaseException | None = None
        self.count = 0
        self.news = asyncio.Event()
        """Set when there is something to look at: a result, an error, the end of a task."""
        self._work = work
        self._started = 0
        self._exhausted = False
        self._turn = asyncio.Lock()
        if isinstance(source, AsyncIterable):
            self._async_source = aiter(source)
            self._pump = self._pump_async
        else:
            self._source = iter(source)
            self._pump = self._pump_sync

    def start(self) -> None:
        """Start the next task, which starts the one after."""
        if self._started < self.concurrency and not self._exhausted:
            self._started += 1
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._pump(), name="asyncfabric-storage-pump")
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    async def run(self) -> int:
        """Work through the whole source; return the number of items."""
        self.start()
        try:
            while self.tasks and self.error is None:
                self.news.clear()
                await self.news.wait()
        finally:
            await self.stop()
        if self.error is not None:
            raise self.error
        return self.count

    def cancel(self) -> None:
        """Ask every task to stop."""
        self._exhausted = True
        for task in self.tasks:
            task.cancel()

    async def stop(self) -> None:
        """Cancel every task and wait until the last one is gone, however often cancelled."""
        self.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self.tasks:
            try:
                await asyncio.wait(tuple(self.tasks))
            except asyncio.CancelledError as error:
                # Writers must be quiet before the caller may reuse its buffers, so keep waiting:
                # each of them ends by its own cancellation.
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and self.error is None:
            self.error = task.exception()
        self._exhausted = True
        self.news.set()

    async def _pump_sync(self) -> None:
        # One loop, so no lock: nothing is awaited between asking for an item and having it.
        for done, item in enumerate(self._source, 1):
            self.start()
            await self._work(item)
            self.count += 1
            if self._exhausted:
                return
            if done % _SLICE == 0:
                await asyncio.sleep(0)

    async def _pump_async(self) -> None:
        for done in count(1):
            async with self._turn:  # an async generator cannot be asked twice at a time
                if self._exhausted:
                    return
                try:
                    item = await anext(self._async_source)
                except StopAsyncIteration:
                    self._exhausted = True
                    return
            self.start()
            await self._work(item)
            self.count += 1
            if done % _SLICE == 0:
                await asyncio.sleep(0)


class Reads(Pumps[str]):
    """Pumps whose results wait in a bounded buffer."""

    def __init__(
        self, store: Gets, keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
    ) -> None:
        super().__init__(keys, self._read, concurrency)
        self.results: deque[tuple[str, memoryview]] = deque()
        self._store = store
        self._space = asyncio.Event()

    async def take(self) -> tuple[str, memoryview] | None:
        """Return the next result, or None at the end.

        An error ends it at once, and what was not taken by then is dropped.
        """
        if not self._started:
            self.start()
        while self.error is None:
            if self.results:
                result = self.results.popleft()
                # Wake the readers when half the buffer is free, not for every result: each
                # wake-up runs all of them.
                if len(self.results) <= self.concurrency // 2:
                    self._space.set()
                return result
            if not self.tasks:
                return None
            self.news.clear()
            await self.news.wait()
        await self.stop()
        raise self.error

    async def stop(self) -> None:
        """Stop the reads and drop what has not been taken."""
        try:
            await super().stop()
        finally:
            self.results.clear()

    async def _read(self, key: str) -> None:
        data = await self._store.get(key)
        self.results.append((key, data))
        self.news.set()
        while len(self.results) >= self.concurrency:
            self._space.clear()
            await self._space.wait()
