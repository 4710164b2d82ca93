"""A durable job whose calls are left to the service that runs them: nobody waits for answers.

Inputs are read as events are taken, so that a few are in memory at a time. What a driver does for
a map (trying again, copying, going on after failures) nobody does here, until the job is launched
again.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric.shipping._fingerprints import Fingerprints
from asyncfabric_runtime._envelope import Seals
from asyncfabric_storage._pumps import Pumps
from asyncfabric_storage._sealed import NONCE_BYTES

from ._codec import encode_inputs
from ._exceptions import SerializationError
from .jobs._driving import LOOK_SECONDS
from .scheduling import Batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from asyncfabric_runtime import Plan

    from .backends._protocol import Leaves
    from .jobs._job import Job

AT_ONCE = 64
"""Events that are on their way to the service at a time."""
_READ = 16
"""Inputs that are read together."""


class Counts(NamedTuple):
    """How many inputs there are, how many had a result already, how many were left to events."""

    total: int
    done: int
    left: int


class Leaving:
    """Leaves the calls of one job.

    Args:
        job: the job, which this process drives.
        plan: what its invocations have in common.
        code: functions that don't ride in the plan, by digest.
        backend: takes the events.
        chunksize: calls in an event.
        again: where it is uncertain whether an event was taken, it may be given once more.
    """

    def __init__(
        self,
        job: Job,
        plan: Plan,
        code: dict[str, bytes],
        backend: Leaves,
        *,
        chunksize: int,
        again: bool,
    ) -> None:
        self._job = job
        self._plan = plan
        self._code = code
        self._backend = backend
        self._chunksize = chunksize
        self._again = again
        self._fingerprints = Fingerprints()
        self._flights = count(1)
        self._left = 0
        self._looked_at = 0.0

    async def run(self, items: Iterable[Any] | AsyncIterable[Any]) -> Counts:
        """Leave all calls that have no result.

        Raises:
            ConfigurationError: an input is another than the job was begun with.
            SerializationError: an input can't be sent.
            TakenOver: another driver has taken the job over.
            Exception: what the inputs raise, and what an invocation may end with.
        """
        job = self._job
        await self._backend.equip(self._plan, self._code)
        self._looked_at = asyncio.get_running_loop().time()
        await Pumps(self._batches(items), self._leave, AT_ONCE).run()
        total = await job.inputs.end()
        await job.leave(self._left)
        return Counts(total, total - self._left, self._left)

    # -- reading --------------------------------------------------------------------------------

    async def _batches(
        self, items: Iterable[Any] | AsyncIterable[Any]
    ) -> AsyncIterator[tuple[Batch, list[bytes]]]:
        """Yield what makes an event: calls that have no result, and their inputs' digests."""
        job, size = self._job, self._chunksize
        waiting: deque[tuple[int, Any, bytes]] = deque()
        async for inputs in _groups(items):
            first = job.inputs.count
            subjects = await asyncio.to_thread(self._subjects, inputs, first)
            # Before anything is sent: what an earlier driver had as another input is refused.
            await job.inputs.add(subjects)
            await self._look()
            calls = zip(range(first, job.inputs.count), inputs, subjects, strict=True)
            waiting.extend(call for call in calls if call[0] not in job.done)
            while len(waiting) >= size:
                yield self._batch([waiting.popleft() for _ in range(size)])
        if waiting:
            yield self._batch(list(waiting))

    def _batch(self, calls: list[tuple[int, Any, bytes]]) -> tuple[Batch, list[bytes]]:
        indices = [index for index, _, _ in calls]
        batch = Batch(indices, [value for _, value, _ in calls], self._job.lease.epoch)
        return batch, [subject for _, _, subject in calls]

    def _subjects(self, inputs: list[Any], first: int) -> list[bytes]:
        subjects: list[bytes] = []
        for index, value in enumerate(inputs, first):
            try:
                subjects.append(self._fingerprints.of(value))
            except SerializationError as error:
                error.add_note(f"asyncfabric: input {index} of job {self._job.manifest.name!r}")
                raise
        return subjects

    async def _look(self) -> None:
        """Look from time to time whether this driver still is the job's."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            await self._job.check()

    # -- leaving --------------------------------------------------------------------------------

    async def _leave(self, item: tuple[Batch, list[bytes]]) -> None:
        batch, subjects = item
        flight, plan = next(self._flights), self._plan
        encoded = encode_inputs(plan, flight, batch)
        if encoded is None:
            encoded = await asyncio.to_thread(encode_inputs, plan, flight, batch, unlimited=True)
        assert encoded is not None  # noqa: S101 - without a limit there is always a result
        envelope, _, bad = encoded
        for position, error in bad.items():
            index = batch.indices[position]
            error.add_note(f"asyncfabric: input {index} of job {self._job.manifest.name!r}")
            raise error
        nonce = os.urandom(NONCE_BYTES)
        tokens = [
            self._job.token(nonce, index, batch.attempt(position), subjects[position])
            for position, index in enumerate(batch.indices)
        ]
        envelope.seals = Seals(nonce, b"".join(subjects), b"".join(tokens))
        await self._backend.leave(envelope, again=self._again)
        self._left += len(batch.inputs)


async def _groups(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[list[Any]]:
    """Yield a few inputs at a time."""
    inputs: list[Any] = []
    if isinstance(items, AsyncIterable):
        async for item in items:
            inputs.append(item)
            if len(inputs) == _READ:
                yield inputs
                inputs = []
    else:
        for item in items:
            inputs.append(item)
            if len(inputs) == _READ:
                yield inputs
                inputs = []
    if inputs:
        yield inputs
