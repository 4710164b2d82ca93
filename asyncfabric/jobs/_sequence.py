"""The digests of inputs, brought into the inputs' order: invocations leave in any."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._inputs import Inputs


class Sequence:
    """Hands digests on to a job's `Inputs`, each once and in order."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._early: dict[int, bytes] = {}
        self._next = 0
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._life: object = object()
        self._error: Exception | None = None

    async def add(self, indices: Iterable[int], subjects: list[bytes]) -> bool:
        """Take the digests of some inputs; return when they have been compared.

        So nothing is launched that an earlier driver of the job had as another input. Returns False
        where it was closed meanwhile.

        Raises:
            ConfigurationError: one of them is another than it was.
            IntegrityError, StorageError: what is known of the inputs can't be read.
        """
        last, life = -1, self._life
        for index, subject in zip(indices, subjects, strict=True):
            if index >= self._next:  # else it was there before: a repetition
                self._early[index] = subject
                last = max(last, index)
        if last < 0 and self._error is None:
            return self._goes_on(life)  # repetitions wait for nobody's turn
        await self._advance()
        while self._next <= last and self._goes_on(life):
            # An earlier input is still on its way: its invocation is being packed.
            self._moved.clear()
            await self._moved.wait()
            await self._advance()
        return self._goes_on(life)

    async def end(self) -> int:
        """Know that there are no more; return how many there were. Raises as `add` does."""
        async with self._turn:
            return await self._inputs.end()

    def close(self) -> None:
        """Let go of whoever waits."""
        self._life = None
        self._moved.set()

    def reopen(self) -> None:
        """Go on, after `close`; who waited before that waits no more."""
        self._life = object()

    def _goes_on(self, life: object) -> bool:
        return life is not None and self._life is life

    async def _advance(self) -> None:
        async with self._turn:
            if self._error is not None:
                raise self._error  # the job is another one, whatever comes now
            ready: list[bytes] = []
            while (subject := self._early.get(self._next + len(ready))) is not None:
                ready.append(subject)
            if not ready:
                return
            try:
                await self._inputs.add(ready)
            except (ConfigurationError, IntegrityError) as error:
                self._error = error
                raise
            finally:
                # It may have taken in a part of them.
                for place in range(self._next, self._inputs.count):
                    self._early.pop(place, None)
                self._next = self._inputs.count
                self._moved.set()
