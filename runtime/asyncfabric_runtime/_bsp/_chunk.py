"""What a worker is given of large data: some records of some objects."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

from asyncfabric_runtime._stores import open_shared_store
from asyncfabric_storage import ConfigurationError

from ._blocking import store_for_blocking, wait_for
from ._file import AsyncChunkFile, ChunkFile
from ._lines import Records, cutter, liner
from ._reading import blocks_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ._piece import Piece
    from ._reading import Block
    from ._records import Rule


class Chunk:
    """Some records of one object, or of several small ones; made by `chunks`.

    Every record of the data is in exactly one chunk, whole: in the one whose range it begins in. A
    chunk is a few hundred bytes that travel to a worker, which reads the data itself. A plain
    function uses `read`, `lines`, `records` and `open`; a coroutine function `aread`, `aopen`, and
    the same `lines` and `records` by `async for`.

        def count(chunk: af.bsp.Chunk) -> int:
            return sum(len(line.split()) for line in chunk.lines())

        async def main() -> None:
            async with af.Fabric() as fabric:
                print(sum(await fabric.map(count, af.bsp.chunks("file:///var/log"))))

    Reading raises `ObjectNotFound` or `StorageError` where an object is gone or was changed.

    Attributes:
        pieces: the ranges of objects that it has.
    """

    __slots__ = ("_rule", "pieces")
    _instead_of_data = (
        "a chunk says which files and buckets a worker reads; give the function a URL that it "
        "checks, and have it iterate over asyncfabric.bsp.chunks(url) itself"
    )

    def __init__(self, pieces: tuple[Piece, ...], rule: Rule) -> None:
        self.pieces: tuple[Piece, ...] = pieces
        self._rule = rule

    @property
    def size(self) -> int:
        """Bytes of its ranges; of compressed objects, as they are stored."""
        return sum(piece.end - piece.start for piece in self.pieces)

    def read(self) -> bytes:
        """Return all its records, delimiters included.

        Where an object ends without a delimiter and another one follows, one is put in between.
        """
        return wait_for(_joined(self._blocks(blocking=True)))

    async def aread(self) -> bytes:
        """Return the same as `read`."""
        return await _joined(self._blocks(blocking=False))

    def lines(self, encoding: str = "utf-8", errors: str = "strict") -> Records[str]:
        r"""Return its lines, without their ends ("\n" or "\r\n"), for `for` and `async for`.

        Args:
            encoding: any in which a line feed is the byte 0A.
            errors: what to do with bytes that are no text; see `bytes.decode`.

        Raises:
            ConfigurationError: the chunks were not made with `records="lines"`.
        """
        if not self._rule.text:
            msg = (
                'lines() is for chunks(..., records="lines"), and these have other records; use '
                "records()"
            )
            raise ConfigurationError(msg)
        decode = liner(encoding, errors, self._name)
        return Records(
            lambda blocking: self._blocks(blocking=blocking), self._rule, decode, self._name
        )

    def records(self) -> Records[bytes]:
        """Return its records, without delimiters, for `for` and `async for`."""
        cut = cutter(self._rule)
        return Records(
            lambda blocking: self._blocks(blocking=blocking), self._rule, cut, self._name
        )

    def open(self) -> BinaryIO:
        """Open it as a file, to be read from its start to its end; it can't seek.

        with chunk.open() as file:
            frame = pandas.read_csv(file, names=columns)
        """
        file = ChunkFile(self._blocks(blocking=True))
        return cast("BinaryIO", io.BufferedReader(file, 1024 * 1024))

    def aopen(self) -> AsyncChunkFile:
        """Open it as a file whose reads are awaited: `async with chunk.aopen() as file`."""
        return AsyncChunkFile(self._blocks(blocking=False))

    def _blocks(self, *, blocking: bool) -> AsyncGenerator[Block]:
        store_of = store_for_blocking if blocking else open_shared_store
        return blocks_of(self.pieces, self._rule, store_of)

    @property
    def _name(self) -> str:
        others = len(self.pieces) - 1
        more = f" and {others} more" if others > 0 else ""
        return (self.pieces[0].name if self.pieces else "an empty chunk") + more

    def __repr__(self) -> str:
        return f"<Chunk {self._name}, {self.size:,} bytes>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chunk) and (self.pieces, self._rule) == (other.pieces, other._rule)

    def __hash__(self) -> int:
        return hash((self.pieces, self._rule))

    def __reduce__(self) -> tuple[type[Chunk], tuple[tuple[Piece, ...], Rule]]:
        return Chunk, (self.pieces, self._rule)


async def _joined(blocks: AsyncGenerator[Block]) -> bytes:
    return b"".join([block async for block in blocks])
