"""Many objects at once: bounded pumps instead of a task per object."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterable, Iterable
    from types import TracebackType
    from typing import Self

    from ._buffers import Data
    from ._pumps import Gets


class Puts(Protocol):
    """The part of a store that writes need."""

    async def put(self, key: str, data: "Data", /) -> None:
        """Write the object."""
        ...


class Deletes(Protocol):
    """The part of a store that deletes need."""

    async def delete(self, key: str, /) -> None:
        """Delete the object."""
        ...


async def put_many(
    store: Puts,
    items: "Iterable[tuple[str, Data]] | AsyncIterable[tuple[str, Data]]",
    concurrency: int,
) -> int:
    """Write the items; see `ObjectStore.put_many`."""
    from ._pumps import Pumps  # with asyncio, which the import of the package does without

    async def put(item: "tuple[str, Data]") -> None:
        await store.put(*item)

    return await Pumps(items, put, concurrency).run()


async def delete_many(
    store: Deletes, keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
) -> int:
    """Delete the keys; see `ObjectStore.delete_many`."""
    from ._pumps import Pumps

    return await Pumps(keys, store.delete, concurrency).run()


class GetMany:
    """The results of `get_many`: an async iterator of `(key, data)`, in order of completion.

    Use it as an async context manager, or call `aclose()`, to stop the reads at a definite point;
    otherwise they are stopped when nothing refers to this object any more.

    Raises:
        ConfigurationError: `concurrency` is below 1.
    """

    # A class and not an async generator: a task group inside a generator is entered and left by
    # whichever task happens to run or finalise the generator, and cancels the wrong one. Here the
    # reading tasks refer to the buffer, never to this object, so dropping it cancels them.

    def __init__(
        self, store: "Gets", keys: "Iterable[str] | AsyncIterable[str]", concurrency: int
    ) -> None:
        from ._pumps import Reads

        self._reads = Reads(store, keys, concurrency)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> "tuple[str, memoryview]":
        """Return the next result to complete.

        Raises:
            StorageError: a read failed; the others have been stopped.
        """
        if self._closed:
            raise StopAsyncIteration
        if self._loop is None:
            import asyncio

            self._loop = asyncio.get_running_loop()
        try:
            result = await self._reads.take()
        except BaseException as error:
            # A consumer that was cancelled may come again; after an error there is nothing more.
            self._closed = self._reads.error is error
            raise
        if result is None:
            self._closed = True
            raise StopAsyncIteration
        return result

    async def aclose(self) -> None:
        """Stop the reads, wait until they have ended and drop what was not taken."""
        self._closed = True
        await self._reads.stop()

    async def __aenter__(self) -> "Self":
        return self

    async def __aexit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        loop = getattr(self, "_loop", None)  # absent if the constructor refused
        if loop is not None and not self._closed and not loop.is_closed():
            # The garbage collector may run in any thread.
            loop.call_soon_threadsafe(self._reads.cancel)
