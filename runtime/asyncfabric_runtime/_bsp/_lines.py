"""Blocks of bytes into records."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncfabric_storage import ConfigurationError, StorageError

from ._blocking import iterate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator

    from ._reading import Block
    from ._records import Rule

T = TypeVar("T")
Cut = "Callable[[bytes], list[T]]"


class Records(Generic[T]):
    """The records of a chunk, for `for` in a plain function and `async for` in a coroutine.

    Each loop reads the chunk anew. About 32 MiB are in memory, and the record at hand if that is
    longer.
    """

    def __init__(
        self,
        blocks: Callable[[bool], AsyncGenerator[Block]],
        rule: Rule,
        decode: Callable[[bytes], list[T]],
        name: str,
    ) -> None:
        self._blocks = blocks
        self._rule = rule
        self._decode = decode
        self._name = name

    def __iter__(self) -> Iterator[T]:
        for part in iterate(self._parts(self._blocks(True))):  # noqa: FBT003
            yield from part

    async def __aiter__(self) -> AsyncIterator[T]:
        async with aclosing(self._parts(self._blocks(False))) as parts:  # noqa: FBT003
            async for part in parts:
                for record in part:
                    yield record

    async def _parts(self, blocks: AsyncGenerator[Block]) -> AsyncGenerator[list[T]]:
        """Yield the records block by block: a hop between threads for each would be dear."""
        rule = self._rule
        rest: list[bytes] = []
        async with aclosing(blocks) as source:
            async for block in source:
                data = bytes(block)
                if rule.overlaps:  # which of those that overlap is one can't be told from here
                    data, rest = b"".join([*rest, data]), []
                end = _last_end(data, rest, rule)
                if not end:
                    rest.append(data)
                    continue
                whole = b"".join([*rest, data[:end]]) if rest else data[:end]
                rest = [data[end:]] if end < len(data) else []
                yield self._decode(whole)
        if rest:
            last = b"".join(rest)
            if rule.width:
                raise StorageError(_incomplete(self._name, len(last), rule.width))
            yield self._decode(last)


def _last_end(data: bytes, rest: Iterable[bytes], rule: Rule) -> int:
    """Return where the last whole record of a block ends, 0 if none does in it."""
    if rule.width:
        before = sum(map(len, rest))
        return max(0, (before + len(data)) // rule.width * rule.width - before)
    if rule.overlaps:
        return len(data) - len(data.split(rule.delimiter)[-1])
    return data.rfind(rule.delimiter) + len(rule.delimiter) if rule.delimiter in data else 0


def cutter(rule: Rule) -> Callable[[bytes], list[bytes]]:
    """Return what cuts whole records apart; delimiters are left out."""
    width, delimiter = rule.width, rule.delimiter
    if width:
        return lambda data: [data[at : at + width] for at in range(0, len(data), width)]

    def cut(data: bytes) -> list[bytes]:
        records = data.split(delimiter)
        if not records[-1]:
            records.pop()  # what is behind the last delimiter
        return [each.removesuffix(b"\r") for each in records] if rule.text else records

    return cut


def liner(encoding: str, errors: str, name: str) -> Callable[[bytes], list[str]]:
    """Return what makes lines of text of whole records."""
    try:
        fits = "\n".encode(encoding) == b"\n"
    except LookupError:
        msg = f"lines(encoding={encoding!r}): there is no such encoding; give for example 'utf-8'"
        raise ConfigurationError(msg) from None
    if not fits:
        msg = (
            f"lines(encoding={encoding!r}): its lines don't end with the byte 0A, so the object "
            "can't be cut there; store it as UTF-8, or use chunk.read().decode() on whole objects"
        )
        raise ConfigurationError(msg)

    def decode(data: bytes) -> list[str]:
        try:
            text = data.decode(encoding, errors)
        except UnicodeDecodeError as error:
            error.add_note(f"asyncfabric: in {name}; lines(errors='replace') reads on")
            raise
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        return [line.removesuffix("\r") for line in lines] if "\r" in text else lines

    return decode


def _incomplete(name: str, bytes_: int, width: int) -> str:
    return (
        f"{name} ends with a record of {bytes_} bytes where all should have {width}; "
        "see to the object, or to `records=` of the chunks"
    )
