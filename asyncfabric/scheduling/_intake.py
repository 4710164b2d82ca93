"""The inputs of one fan-out: how many are worth reading, and how many go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._queue import Queue

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ._batch import Batch
    from ._pace import Pace

_NEVER = 2**63


class Intake:
    """What of a fan-out has not been launched.

    Args:
        pace: what is known of the function's speed; used for chunking.
        lanes: how many invocations the backend runs side by side.
        chunksize: calls in an invocation; None adapts it.

    Attributes:
        bound: calls read but not yet delivered, at most; None for no bound.
        adaptive: the bound follows the pace.
        delivered: calls that reached the consumer, by its own count, and those that were dropped.
        input_open: there may be more inputs.
        stopped: nothing is launched any more.
    """

    def __init__(self, pace: Pace, lanes: int, chunksize: int | None) -> None:
        self.pace = pace
        self.lanes = lanes
        self.bound: int | None = None
        self.adaptive = False
        self.delivered: int = 0
        self.input_open: bool = True
        self.stopped: bool = False
        self._chunksize = chunksize
        self._queue = Queue()
        self._halted_at: int | None = None
        self._resume_at = _NEVER

    @property
    def read(self) -> int:
        """Inputs taken in so far: the index of the next one."""
        return self._queue.read

    def demand(self, invocations: int) -> int:
        """Return how many inputs are worth reading, with room for so many invocations."""
        self._resume_at = _NEVER
        if not self.input_open or self.stopped or self._halted_at is not None:
            return 0
        chunk = self.chunk()
        wanted = invocations * chunk - self._queue.ready
        if wanted <= 0:
            return 0
        bound = self.pace.buffer(self.lanes) if self.adaptive else self.bound
        if bound is None:
            return wanted
        if self.adaptive and self._chunksize is not None:
            bound = max(bound, self._chunksize * self.lanes)  # or no invocation would have so many
        # A consumer that takes results one by one must not cause invocations of one call each.
        least = max(1, min(wanted, chunk, bound // 4))
        room = bound - (self.read - self.delivered)
        taken = wanted if room >= wanted else room if room >= least else 0
        if taken < wanted:
            self._resume_at = self.read + taken - bound + least
        return taken

    @property
    def starved(self) -> bool:
        """Inputs were left unread for a full buffer, and by now enough has been delivered."""
        return self.delivered >= self._resume_at

    def offer(self, inputs: Iterable[Any]) -> None:
        """Take inputs in; they get the next indices."""
        self._queue.offer(inputs)

    def offer_one(self, value: object) -> None:
        """Take one input in."""
        self._queue.offer_one(value)

    def end_input(self) -> None:
        """Know that there are no more inputs."""
        self.input_open = False

    def chunk(self) -> int:
        """Return how many calls make one invocation now."""
        if self._chunksize is not None:
            return self._chunksize
        chunk = self.pace.chunk()
        if not self.input_open and chunk > 1:
            # Near the end, smaller pieces, so that no lane is left with much when others are idle:
            # guided self-scheduling (Polychronopoulos and Kuck, 1987), at half its size.
            chunk = max(1, min(chunk, -(-self._queue.ready // (2 * self.lanes))))
        return chunk

    @property
    def _launchable(self) -> bool:
        """Something waits that can be launched at once."""
        queue, halted_at = self._queue, self._halted_at
        return queue.ready > 0 and (halted_at is None or queue.first < halted_at)

    def _close(self) -> list[Batch]:
        """Launch nothing any more; return what was not launched."""
        self.stopped = True
        return self._queue.empty()

    def _reopen(self, again: int) -> None:
        """Launch again, so many calls that were delivered among them."""
        self.delivered -= again
        self._halted_at = None
        self.stopped = False
