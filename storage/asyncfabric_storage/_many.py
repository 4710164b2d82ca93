"""Many objects at once: bounded pumps instead of a task per object."""

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ._errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from ._buffers import Data

_T = TypeVar("_T")

_SLICE = 32
"""Items after which a pump lets the loop run, since a store in memory never makes it wait."""


class _Gets(Protocol):
    async def get(self, key: str, /) -> memoryview: ...


class _Puts(Protocol):
    async def put(self, key: str, data: "Data", /) -> None: ...


class _Deletes(Protocol):
    async def delete(self, key: str, /) -> None: ...


async def put_many(
    store: _Puts,
    items: "Iterable[tuple[str, Data]] | AsyncIterable[tuple[str, Data]]",
    concurrency: int,
) -> int:
    """Write the items; see `ObjectStore.put_many`."""

    async def put(item: "tuple[str, Data]") -> None:
        await store.put(*item)

    return await _Pumps(items, put, concurrency).run()


async def delete_many(
    store: _Deletes, keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
) -> int:
    """Delete the keys; see `ObjectStore.delete_many`."""
    return await _Pumps(keys, store.delete, concurrency).run()


class _Pumps(Generic[_T]):
    """Tasks that pull items from one source and work on them, at most `concurrency` of them.

    The first task starts the second when it has found an item, and so on: three items never
    cost 64 tasks. Who has an item needs no lock against the others on one loop, except that an
    async source must not be asked by two tasks at once.
    """

    def __init__(
        self,
        source: "Iterable[_T] | AsyncIterable[_T]",
        work: "Callable[[_T], Awaitable[None]]",
        concurrency: int,
    ) -> None:
        self.concurrency = _checked(concurrency)
        self.tasks: set[asyncio.Task[None]] = set()
        self.error: BaseException | None = None
        self.count = 0
        self._source = _iterator(source)
        self._work = work
        self._started = 0
        self._exhausted = False

    def start(self) -> None:
        """Start the first task, which starts the others."""
        import asyncio  # noqa: PLC0415  # keeps the import of the package fast

        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()
        self._spawn()

    async def run(self) -> int:
        """Work through the whole source; return the number of items."""
        self.start()
        try:
            while self.tasks and self.error is None:
                self._wake.clear()
                await self._wake.wait()
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
        import asyncio  # noqa: PLC0415

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

    def _spawn(self) -> None:
        import asyncio  # noqa: PLC0415

        self._started += 1
        task = asyncio.get_running_loop().create_task(self._pump(), name="asyncfabric-storage-pump")
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.error = self.error or error
        self._exhausted = True
        self._wake.set()
        self.on_end()

    def on_end(self) -> None:
        """Do what is to be done when a task has ended; nothing here."""

    async def _pump(self) -> None:
        import asyncio  # noqa: PLC0415

        source = self._source
        taken = 0
        while not self._exhausted:
            try:
                if hasattr(source, "__anext__"):
                    async with self._turn:
                        if self._exhausted:
                            return
                        item = await source.__anext__()
                else:
                    item = next(source)
            except (StopIteration, StopAsyncIteration):
                self._exhausted = True
                return
            if self._started < self.concurrency and not self._exhausted:
                self._spawn()
            await self._work(item)
            self.count += 1
            taken += 1
            if taken % _SLICE == 0:
                await asyncio.sleep(0)


class _Reads(_Pumps[str]):
    """Pumps whose results wait in a bounded buffer."""

    def __init__(
        self, store: _Gets, keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
    ) -> None:
        super().__init__(keys, self._read, concurrency)
        self.results: deque[tuple[str, memoryview]] = deque()
        self._store = store

    def start(self) -> None:
        import asyncio  # noqa: PLC0415

        self.ready = asyncio.Event()
        self.space = asyncio.Event()
        super().start()

    async def _read(self, key: str) -> None:
        data = await self._store.get(key)
        self.results.append((key, data))
        self.ready.set()
        while len(self.results) >= self.concurrency:
            self.space.clear()
            await self.space.wait()

    def take(self) -> tuple[str, memoryview]:
        result = self.results.popleft()
        # Wake the readers when half the buffer is free, not for every result: each wake-up
        # runs all of them.
        if len(self.results) <= self.concurrency // 2:
            self.space.set()
        return result

    def on_end(self) -> None:
        self.ready.set()


class GetMany:
    """The results of `get_many`: an async iterator of `(key, data)`, in order of completion.

    This is a class and not an async generator because a task group inside a generator is
    cancelled from wherever the generator happens to be finalised. Here the tasks hold only the
    buffer, never this object; when the last reference to it goes, they are cancelled.

    Use it as an async context manager, or call `aclose()`, to have them gone at a definite point.
    """

    def __init__(
        self, store: _Gets, keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
    ) -> None:
        self._reads = _Reads(store, keys, concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> tuple[str, memoryview]:
        """Return the next result to complete.

        Raises:
            StorageError: a read failed; the others have been stopped.
        """
        import asyncio  # noqa: PLC0415

        if self._closed:
            raise StopAsyncIteration
        reads = self._reads
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            reads.start()
        while reads.error is None:
            if reads.results:
                return reads.take()
            if not reads.tasks:
                break
            reads.ready.clear()
            await reads.ready.wait()
        await self.aclose()
        if reads.error is not None:
            raise reads.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the reads, wait until they have ended and drop what was not taken."""
        self._closed = True
        if self._loop is not None:
            self._reads.results.clear()
            await self._reads.stop()
            self._reads.results.clear()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)
        if loop is None or self._closed or loop.is_closed():
            return
        # The garbage collector may run in any thread.
        loop.call_soon_threadsafe(self._reads.cancel)


def _checked(concurrency: int) -> int:
    if concurrency < 1:
        msg = f"concurrency must be at least 1, not {concurrency}"
        raise ConfigurationError(msg)
    return concurrency


def _iterator(source: "Iterable[_T] | AsyncIterable[_T]") -> "Any":
    if hasattr(source, "__aiter__"):
        return source.__aiter__()
    return iter(source)
