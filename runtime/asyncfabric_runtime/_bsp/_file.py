"""A chunk as a file that is read from its start to its end."""

from __future__ import annotations

import io
from contextlib import aclosing
from typing import TYPE_CHECKING

from ._blocking import iterate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType
    from typing import Self

    from _typeshed import WriteableBuffer

    from ._reading import Block


class ChunkFile(io.RawIOBase):
    """What `Chunk.open` wraps into a buffered file."""

    def __init__(self, blocks: AsyncGenerator[Block]) -> None:
        super().__init__()
        self._blocks = iterate(blocks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read what is at hand, or the next block."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Stop reading."""
        if not self.closed:
            self._blocks.close()
            super().close()


class AsyncChunkFile:
    """A chunk as a file whose reads are awaited; see `Chunk.aopen`."""

    def __init__(self, blocks: AsyncGenerator[Block]) -> None:
        self._blocks = blocks
        self._closing = aclosing(blocks)
        self._rest = memoryview(b"")

    async def read(self, size: int = -1) -> bytes:
        """Return so many bytes, fewer only at the end; all that are left where it is negative."""
        parts: list[bytes | memoryview] = []
        missing = size
        while missing:
            if not self._rest:
                block = await anext(self._blocks, None)
                if block is None:
                    break
                self._rest = memoryview(block)
            part = self._rest if missing < 0 else self._rest[:missing]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)

    async def aclose(self) -> None:
        """Stop reading."""
        await self._blocks.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
