"""A durable fan-out at work: what stands between its Run and its Job.

On the way out every call is given what its worker seals the result with. On the way in stand the
results that are read from the store instead of an answer: those of an earlier run, those that
another attempt was first with, large ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._codec import HEAVY_BYTES
from asyncfabric._exceptions import (
    IntegrityError,
    ObjectNotFound,
    SerializationError,
    StorageError,
)
from asyncfabric.shipping._fingerprints import Fingerprints
from asyncfabric_runtime._envelope import Seals
from asyncfabric_storage._sealed import NONCE_BYTES, SUBJECT_BYTES

from ._failing import Failing
from ._sequence import Sequence
from ._values import error_of, value_of

if TYPE_CHECKING:
    from collections.abc import Sequence as Positions

    from asyncfabric._run import Run
    from asyncfabric.scheduling import Batch
    from asyncfabric_runtime import Envelope

    from ._job import Job
    from ._results import Committed

LOOK_SECONDS = 5.0
"""So often a driver looks whether another one has taken the job over."""
READ_AT_ONCE = 256
"""Results read from the store at a time."""

_UNSENDABLE = bytes(SUBJECT_BYTES)
"""In the place of the digest of an input that has none: it can't be sent either."""


class ReadBack(NamedTuple):
    """What a call has come to, by the store's word."""

    position: int
    value: Any = None
    error: Exception | None = None


class Driving:
    """One driver's work at one job.

    Attributes:
        job: the job.
        reading: calls whose results are being read.
    """

    def __init__(self, job: Job, run: Run) -> None:
        self.job = job
        self.reading = 0
        self._last_flight = 0
        self._run = run
        self._fingerprints = Fingerprints()
        self._fingerprinting = threading.Lock()
        self._sequence = Sequence(job.inputs)
        self._target = run.delivery
        self._failing = Failing(run, self, self._target)
        self._watch: asyncio.Task[None] | None = None
        self._concluding = False

    def begin(self) -> None:
        """Begin, or go on after `stop`.

        From now on it is looked at, from time to time, whether this driver still is the job's.
        """
        # A new one each time: the store may still be at work for what was stopped.
        self._run.delivery = self._failing = Failing(self._run, self, self._target)
        self._concluding = False
        self._sequence.reopen()
        self._watch = self._run.dispatcher.task(self._keep_looking())

    def stop(self) -> None:
        """Do nothing more: the run is over."""
        self._sequence.close()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.job.check()
            except StorageError as error:
                if isinstance(error, IntegrityError):
                    self._run.finish(error)
                    return
                # What can't be seen now may be the next time; nothing depends on how soon.
            except Exception as error:  # noqa: BLE001 - it has been taken over
                self._run.finish(error)
                return

    # -- out ------------------------------------------------------------------------------------

    async def seal(self, envelope: Envelope, inputs: list[Any], size: int) -> dict[int, Exception]:
        """Give the calls what their results are sealed with; return those that can't be told apart.

        Raises:
            ConfigurationError: an input is another than the job was begun with.
            IntegrityError, StorageError: what is known of the inputs can't be read.
        """
        bad: dict[int, Exception] = {}
        if size > HEAVY_BYTES:
            subjects = await asyncio.to_thread(self._subjects, inputs, bad)
        else:
            subjects = self._subjects(inputs, bad)
        await self._sequence.add(envelope.indices, subjects)
        nonce = os.urandom(NONCE_BYTES)
        job, indices = self.job, envelope.indices
        tokens = [
            job.token(nonce, index, envelope.attempt(position), subjects[position])
            for position, index in enumerate(indices)
        ]
        envelope.seals = Seals(nonce, b"".join(subjects), b"".join(tokens))
        return bad

    def _subjects(self, inputs: list[Any], bad: dict[int, Exception]) -> list[bytes]:
        subjects: list[bytes] = []
        with self._fingerprinting:
            for position, value in enumerate(inputs):
                try:
                    subjects.append(self._fingerprints.of(value))
                except SerializationError as error:
                    bad[position] = error
                    subjects.append(_UNSENDABLE)
        return subjects

    async def subject(self, value: object) -> bytes:
        """Return an input's digest."""
        return (await asyncio.to_thread(self._subjects, [value], {}))[0]

    # -- in -------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether so many results are being read that no more should be asked for."""
        return self.reading >= READ_AT_ONCE

    def next_flight(self) -> int:
        """Return a number for calls that are read: below those of invocations."""
        self._last_flight -= 1
        return self._last_flight

    def sift(self, batch: Batch) -> tuple[Batch | None, Batch | None]:
        """Divide calls into those that are done, and those that are to be run."""
        done = self.job.done
        there = [place for place, index in enumerate(batch.indices) if index in done]
        if not there:
            return None, batch
        if len(there) == len(batch.inputs):
            return batch, None
        known = set(there)
        rest = [place for place in range(len(batch.inputs)) if place not in known]
        return batch.pick(there), batch.pick(rest)

    def read(self, flight: int, positions: Positions[int], *, fresh: bool = False) -> None:
        """Read results from the store, and settle the calls by them.

        `fresh` ones are of this run; the inputs of others have to be compared first.
        """
        self.reading += len(positions)
        self._run.dispatcher.later(self._read(flight, positions, self._failing, fresh=fresh))

    async def _read(
        self, flight: int, positions: Positions[int], failing: Failing, *, fresh: bool
    ) -> None:
        run = self._run
        flights = run.fan_out.flights
        try:
            calls = [(place, flights.call_at(flight, place)) for place in positions]
            wanted = [(place, call[0], call[1]) for place, call in calls if call is not None]
            values = [value for _, _, value in wanted]
            subjects = await asyncio.to_thread(self._subjects, values, {})
            if not fresh:
                await self._sequence.add([index for _, index, _ in wanted], subjects)
            found = await asyncio.gather(
                *(
                    self._read_one(place, index, subject)
                    for (place, index, _), subject in zip(wanted, subjects, strict=True)
                )
            )
        except Exception as error:  # noqa: BLE001 - it is the map's to raise
            failing.finish(error)
            found = []
        finally:
            self.reading -= len(positions)
        run.read_back(flight, found)  # wakes the run, which may be another life's by now

    async def _read_one(self, position: int, index: int, subject: bytes) -> ReadBack:
        try:
            committed = await self.job.result(index, subject)
        except ObjectNotFound:
            await self.job.check()  # it was there: that the job was discarded says more
            raise
        if committed.failed is not None:
            as_data = self._run.plan.data_results
            return ReadBack(position, error=error_of(committed.failed, as_data=as_data))
        try:
            return ReadBack(position, await self.value(committed))
        except SerializationError as error:
            return ReadBack(position, error=error)  # this call's, as that of an answer is

    async def value(self, committed: Committed) -> Any:  # noqa: ANN401 - the user's value
        """Return the value of a verified result. Raises as `value_of` does, and `StorageError`."""
        return await value_of(
            committed,
            await self.job.payload(committed),
            store_url=self.job.store_url,
            as_data=self._run.plan.data_results,
        )

    # -- the end --------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Note that all inputs are done, then end the run."""
        if not self._concluding:
            self._concluding = True
            self._run.dispatcher.later(self._conclude(self._failing))

    async def _conclude(self, failing: Failing) -> None:
        try:
            await failing.passed()
            total = await self._sequence.end()
            # A failure that ends the map is not what its input has come to.
            if not (failing.passed_over or failing.ended):
                with contextlib.suppress(StorageError):  # the note only saves counting
                    await self.job.finish(total, self._run.fan_out.failed_calls)
        except Exception as error:  # noqa: BLE001 - it is the map's to raise
            failing.finish(error)
        else:
            failing.finish(None)
