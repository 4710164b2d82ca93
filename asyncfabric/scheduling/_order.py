"""In which order settled calls are delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


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

    def rewind(self, blocks: list[Block], again: Iterable[int]) -> list[Block]:
        """Get ready for calls that run anew.

        `blocks` were given out but didn't reach the consumer, `again` are the indices of the calls
        that were read and will settle yet: those that failed, every one, and those that never did.
        What has reached the consumer is not missed. Returns the blocks that can be delivered now.
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

    def rewind(self, blocks: list[Block], again: Iterable[int]) -> list[Block]:  # noqa: ARG002
        """Return the blocks but for failures, whose calls run anew."""
        return [block for block in blocks if block.error is None]


class InOrder:
    """Delivers blocks by index; one that comes early waits for those before it."""

    def __init__(self) -> None:
        self._next = 0
        self._early: dict[int, Block] = {}
        self._skips: dict[int, int] = {}
        """After a rewind: where calls begin that were delivered already, and where they end."""

    def add(self, block: Block) -> list[Block]:
        """Return the blocks that the new one completes the way to."""
        if block.first != self._next:
            self._early[block.first] = block
            return []
        self._next += len(block.inputs)
        if not self._early and not self._skips:
            return [block]
        return [block, *self._ready()]

    def _ready(self) -> list[Block]:
        ready: list[Block] = []
        while True:
            if (following := self._early.pop(self._next, None)) is not None:
                ready.append(following)
                self._next += len(following)
            elif (end := self._skips.pop(self._next, None)) is not None:
                self._next = end
            else:
                return ready

    def waiting(self) -> list[Block]:
        """Return the blocks that came early, by index."""
        return [self._early[first] for first in sorted(self._early)]

    def rewind(self, blocks: list[Block], again: Iterable[int]) -> list[Block]:
        """Go back to the first call that has to come again, and skip what needn't."""
        self._early = {
            block.first: block for block in [*self._early.values(), *blocks] if block.error is None
        }
        reached = self._next
        missing = [(index, 1) for index in again if index < reached]
        missing += [(first, len(block)) for first, block in self._early.items() if first < reached]
        self._next = min(missing, default=(reached, 0))[0]
        place = self._next
        for first, count in sorted(missing):
            if place < first:
                self._skips[place] = first
            place = first + count
        if place < reached:
            self._skips[place] = reached
        return self._ready()
