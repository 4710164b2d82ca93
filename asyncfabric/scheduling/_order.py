"""In which order settled calls are delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Block:
    """Neighbouring calls that settled together: their values, or the one call's error.

    Attributes:
        first: index of the first call.
        inputs: the calls' inputs, `len(inputs)` calls in all.
        values: their values; empty for an error.
        error: what the single call of the block failed with.
        record: what the shell knows of the attempt (timings, logs); opaque here.
        offset: place of the first call in the record.
    """

    first: int
    inputs: Sequence[Any]
    values: list[Any]
    error: BaseException | None = None
    record: Any = None
    offset: int = 0

    def __len__(self) -> int:
        return len(self.inputs)


class Order(Protocol):
    """Takes settled blocks in and gives them out in the order of delivery."""

    def add(self, block: Block) -> list[Block]:
        """Take a block; return the blocks that can be delivered now."""
        ...

    def waiting(self) -> list[Block]:
        """Return the blocks that wait for an earlier one."""
        ...

    def rewind(self, blocks: list[Block], place: int | None) -> list[Block]:
        """Take back blocks that were given out, and return those that can be delivered again.

        The consumer goes on at call `place`, or where it was. The calls of blocks with errors run
        anew, so these blocks are forgotten.
        """
        ...


class AsCompleted:
    """Delivers every block at once."""

    def add(self, block: Block) -> list[Block]:
        """Return the block."""
        return [block]

    def waiting(self) -> list[Block]:
        """Return nothing: no block waits."""
        return []

    def rewind(self, blocks: list[Block], place: int | None) -> list[Block]:  # noqa: ARG002
        """Return the blocks: they can go out again at once."""
        return [block for block in blocks if block.error is None]


class InOrder:
    """Delivers blocks by index; one that comes early waits for those before it."""

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Block] = {}

    def add(self, block: Block) -> list[Block]:
        """Return the blocks that the new one completes the way to."""
        if block.first < self._next:
            return [block]  # a call that failed was delivered as its error, and now ran anew
        if block.first > self._next:
            self._early[block.first] = block
            return []
        self._next += len(block)
        return [block, *self._following()]

    def _following(self) -> list[Block]:
        """Give out the blocks whose turn it is now."""
        ready = []
        while (following := self._early.pop(self._next, None)) is not None:
            ready.append(following)
            self._next += len(following)
        return ready

    def waiting(self) -> list[Block]:
        """Return the blocks that came early, by index."""
        return [self._early[first] for first in sorted(self._early)]

    def rewind(self, blocks: list[Block], place: int | None) -> list[Block]:
        """Keep the blocks that come after a call that runs anew; return those before it."""
        if place is not None:
            self._next = min(self._next, place)
        known = [*self._early.values(), *blocks]
        self._early = {block.first: block for block in known if block.error is None}
        return self._following()
