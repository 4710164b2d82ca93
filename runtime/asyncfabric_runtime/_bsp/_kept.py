"""Values that workers leave in the store for one another."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric_runtime._blame import blame
from asyncfabric_runtime._context import current
from asyncfabric_runtime._errors import SerializationError
from asyncfabric_runtime._packing import pack_object, unpack_object
from asyncfabric_storage import IntegrityError, digest

from ._blocking import iterate, store_for_blocking, wait_for
from ._fetch import Range, fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence

    from asyncfabric_storage._buffers import Buffer


class Kept(NamedTuple):
    """A value in the store.

    Attributes:
        name: of its object, below a prefix.
        size: bytes.
        digest: SHA-256 of them, which comes over the invocation channel.
    """

    name: str
    size: int
    digest: str


class Keeper:
    """What `fabric.map` runs in a function's place: leaves its results below a prefix."""

    def __init__(self, function: Callable[..., Any], prefix: str) -> None:
        self._function = function
        self._prefix = prefix
        self.__name__ = self.__qualname__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, item: object, /, **shared: object) -> tuple[str, int, str]:
        """Run the function, and store what it returns."""
        value = self._function(item, **shared)
        name, pieces, kept = pack(value, self.__name__)
        wait_for(store_for_blocking(current().store.url).put(f"{self._prefix}{name}", pieces))
        return kept


class AsyncKeeper:
    """The same for a coroutine function."""

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]], prefix: str) -> None:
        self._function = function
        self._prefix = prefix
        self.__name__ = self.__qualname__ = getattr(function, "__name__", type(function).__name__)

    async def __call__(self, item: object, /, **shared: object) -> tuple[str, int, str]:
        """Run the function, and store what it returns."""
        value = await self._function(item, **shared)
        name, pieces, kept = pack(value, self.__name__)
        await current().store.put(f"{self._prefix}{name}", pieces)
        return kept


def pack(value: object, what: str) -> tuple[str, list[Buffer], Kept]:
    """Return a name that no other attempt has, the bytes, and what to tell of them.

    Raises `SerializationError`.
    """
    try:
        pieces = pack_object(value)
    except Exception as error:
        raise SerializationError(blame(f"the result of {what}", value, error)) from error
    # A number of its own for each attempt: copies never write to one key.
    name = f"{os.urandom(6).hex()}-{current().index}"
    size = sum(memoryview(piece).nbytes for piece in pieces)
    return name, pieces, Kept(name, size, digest(pieces))


def kept_values(kept: Sequence[Kept], prefix: str, memory: int) -> Generator[Any]:
    """Yield the values in their order, read ahead; for plain functions on a worker.

    Raises `IntegrityError` before anything is decoded that is not what was stored.
    """
    store = store_for_blocking(current().store.url)
    ranges = [Range(n, f"{prefix}{each.name}", 0, each.size) for n, each in enumerate(kept)]
    batches = iterate(fetch(store, ranges, memory))
    try:
        parts: list[memoryview] = []
        missing = -1
        for batch in batches:
            for number, data in batch:
                missing = (kept[number].size if missing < 0 else missing) - len(data)
                parts.append(data)
                if not missing:
                    whole = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
                    parts, missing = [], -1
                    yield _decoded(whole, kept[number])
    finally:
        batches.close()


def _decoded(data: memoryview, kept: Kept) -> Any:  # noqa: ANN401 - the user's value
    if digest(data) != kept.digest:
        msg = (
            f"the intermediate object {kept.name} holds other bytes than were stored: it was "
            "changed or damaged; run this again, and see who else writes to this store"
        )
        raise IntegrityError(msg)
    return unpack_object(data)


class Gatherer:
    """What a worker runs to reduce some results."""

    def __init__(self, reduce: Callable[[Iterator[Any]], Any], prefix: str, memory: int) -> None:
        self._reduce = reduce
        self._prefix = prefix
        self._memory = memory
        self.__name__ = self.__qualname__ = getattr(reduce, "__name__", type(reduce).__name__)

    def __call__(self, kept: Sequence[tuple[str, int, str]]) -> Any:  # noqa: ANN401 - the user's
        """Give the reduce function an iterator over the results."""
        found = [Kept(*each) for each in kept]
        with closing(kept_values(found, self._prefix, self._memory)) as values:
            return self._reduce(values)
