"""What an object store is."""

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from ._many import GetMany, delete_many, put_many

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable
    from datetime import datetime

    from ._buffers import Data


class ObjectInfo(NamedTuple):
    """What a store knows of an object without reading it."""

    key: str
    size: int
    """Bytes."""
    modified: "datetime"
    """When its content was last written, with a time zone (UTC)."""


@runtime_checkable
class ObjectStore(Protocol):
    """A flat map from keys to immutable byte strings, shared by everyone who can open its URL.

    Objects are replaced as a whole: a reader sees one version or the other, never a mixture and
    never a part. Keys are checked by `validate_key` in every method, before any input or output;
    one that breaks the rule is a `ConfigurationError`.

    A back end subclasses this class and implements everything down to `aclose`; the `*_many`
    methods below it, `open` and `remote` are inherited. Every method may be cancelled: a cancelled
    write has happened as a whole or not at all, and does not touch its data any more once the
    cancellation is out.
    """

    @property
    def url(self) -> str:
        """A URL which opens the same store, from another process too where `shared` is true."""
        ...

    @property
    def shared(self) -> bool:
        """Whether another process on this machine can open the store by its URL."""
        ...

    @property
    def remote(self) -> bool:
        """Whether other machines can open the store by its URL, too; here False."""
        return False

    @property
    def ephemeral(self) -> bool:
        """Whether the objects vanish with the store object or with its process."""
        ...

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        """Return the object's bytes `[start, end)`, read-only; all of them by default.

        An `end` past the object's size is clipped to it, and `start == end` gives no bytes.

        Raises:
            ObjectNotFound: there is no such object.
            StorageError: `start` is beyond the object's size, or the store failed.
            ConfigurationError: the key or the range makes no sense (negative, or end < start).
        """
        ...

    async def put(self, key: str, data: "Data") -> None:
        """Write the object, replacing the one that is there.

        `data` is a buffer or a sequence of buffers, which are written one after another.

        Raises:
            StorageError: the store failed; what was there before is unchanged.
        """
        ...

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        """Write the object unless it exists; atomic among all processes.

        Returns:
            True if this call created the object, False if it was there already.
        """
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Return the object's size and age without reading it.

        Raises:
            ObjectNotFound: there is no such object.
        """
        ...

    async def delete(self, key: str) -> None:
        """Delete the object; that there is none is no error."""
        ...

    def list(self, prefix: str = "") -> "AsyncIterator[ObjectInfo]":
        """Yield the objects whose key, as a string, starts with `prefix`, in order of keys.

        The order is that of `sorted(keys)`. Objects that come or go meanwhile may be missed.
        """
        ...

    async def open(self) -> None:
        """Find out what has to be known before the first request, if anything does.

        Every other method does so by itself; here it does nothing. Afterwards `url` is final.
        """
        return

    async def aclose(self) -> None:
        """Release what the store holds; repeated calls do nothing."""
        ...

    def get_many(
        self, keys: "Iterable[str] | AsyncIterable[str]", *, concurrency: int = 64
    ) -> GetMany:
        """Return an async iterator of `(key, data)` pairs in the order in which reads complete.

        At most `concurrency` reads are in flight, by as many tasks; at most twice as many
        results wait to be taken, and `keys` is read no further than that. The first error stops
        the rest and is raised.

        Leaving the loop early stops the reads once nothing refers to the iterator any more; use
        `async with store.get_many(...) as results:` to stop at a definite point.

            async for key, data in store.get_many(keys):
                print(key, len(data))

        Raises:
            ConfigurationError: `concurrency` is below 1.
        """
        return GetMany(self, keys, concurrency)

    async def put_many(
        self,
        items: "Iterable[tuple[str, Data]] | AsyncIterable[tuple[str, Data]]",
        *,
        concurrency: int = 64,
    ) -> int:
        """Write `(key, data)` pairs, `concurrency` at a time, and return how many were written.

        `items` is read as slots come free. The first error stops the rest and is raised; what
        has been written by then stays.
        """
        return await put_many(self, items, concurrency)

    async def delete_many(
        self, keys: "Iterable[str] | AsyncIterable[str]", *, concurrency: int = 64
    ) -> int:
        """Delete objects, `concurrency` at a time, and return how many keys were given."""
        return await delete_many(self, keys, concurrency)
