"""From the name of some data to chunks of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime._bsp._records import Records, rule_of

from ._plan import Planner
from ._sizes import parse_size
from ._sources import listed, named, no_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from asyncfabric_runtime._bsp._chunk import Chunk


class Chunks:
    """The chunks of some data; see `chunks`. Each use lists the objects anew."""

    def __init__(self, source: str | list[str], size: int, records: Records) -> None:
        self._source = source
        self._size = size
        self._rule = rule_of(records)

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        planner = Planner(self._size, self._rule)
        source = self._source
        pieces = listed(source) if isinstance(source, str) else named(source)
        async with aclosing(pieces):
            async for piece in pieces:
                for chunk in planner.add(piece):
                    yield chunk
        for chunk in planner.end():
            yield chunk

    def __await__(self) -> Generator[None, None, list[Chunk]]:
        return self._all().__await__()

    async def _all(self) -> list[Chunk]:
        return [chunk async for chunk in self]

    def __repr__(self) -> str:
        source = self._source if isinstance(self._source, str) else f"{len(self._source)} objects"
        return f"<Chunks of {source}>"


def chunks(
    source: str | Iterable[str], *, size: int | str = "64MiB", records: Records = "lines"
) -> Chunks:
    r"""Cut data into chunks of whole records, for workers to read.

    The objects are listed once, and nothing of them is read. Large ones are cut, small ones packed
    together; compressed ones (`.gz`, `.zst`) stay whole, for they can't be read from the middle.
    Of a directory these are the regular files below it, hidden ones too, but no links, and no names
    that aren't UTF-8.
    Their order is that of the keys, so chunks in order have the records in order.

        async for chunk in af.bsp.chunks("s3://bucket/logs"): ...
        all_of_them = await af.bsp.chunks("file:///data/reviews", size="16MiB")
        await fabric.map(count, af.bsp.chunks("s3://bucket/logs?region=eu-west-1"))

    Args:
        source: a URL, for all objects below it (or the one of that name): `s3://bucket/prefix`,
            `file:///directory`; or the URLs of objects, in the order that is wanted.
        size: bytes of a chunk, about: less than twice as much, if no record is longer. A number or
            a text such as "64MiB".
        records: what must not be cut in two. "lines" end with "\n" or "\r\n"; a number is the
            bytes of every record; bytes are what ends each, such as `b"\0"`.

    Returns:
        What can be awaited, for a list, or iterated by `async for`; also as the inputs of a map.

    Raises:
        ConfigurationError: an argument makes no sense.
        ObjectNotFound: when used: there are no objects.
        StorageError: when used: the store failed.
    """
    asked: Any = source
    if not isinstance(asked, str) and (isinstance(asked, bytes) or not isinstance(asked, Iterable)):
        raise ConfigurationError(no_url(asked))
    given = source if isinstance(source, str) else list(source)
    return Chunks(given, parse_size("size", size), records)
