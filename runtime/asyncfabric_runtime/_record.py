"""What a running invocation has to answer with, gathered call by call."""

from __future__ import annotations

from _thread import allocate_lock
from array import array
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import digest, object_key

from ._data import NotDataError, encode_data, pack_data
from ._failure import RESULT, STORE, Failure, describe
from ._outcome import Outcome, Phases
from ._packing import pack_object
from ._process import peak_memory
from ._ref import Ref
from ._stores import open_shared_store
from ._values import Encoded, all_plain, encode_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from asyncfabric_storage._buffers import Buffer

    from ._capture import Transcript
    from ._commits import Commits
    from ._envelope import Plan

_NOT_HERE: Any = object()


class Record:
    """Results and failures since the last outcome, and the time they took."""

    def __init__(self, flight: int, plan: Plan, *, cold: bool) -> None:
        self._flight = flight
        self._plan = plan
        self._cold = cold
        self._encode_value: Callable[[Any, list[Buffer]], tuple[int, Any]] = (
            encode_data if plan.data_results else encode_value
        )
        self._clock = process_time if plan.is_async else perf_counter
        self._since = self._clock()
        self.transcripts: dict[int, Transcript] = {}
        self.announce: Callable[[int], None] | None = None
        """Told which call's result is about to be pickled: that may kill the process."""
        self.fetch = self.load = self.deserialize = 0.0
        self.commits: Commits | None = None
        """Of a durable job: what makes results lasting before they are answered."""
        self._encoding = allocate_lock()
        self.clear()

    def clear(self) -> None:
        """Forget what was gathered since the last outcome."""
        self.positions: list[int] = []
        self.values: list[Any] = []
        self.run: array[float] = array("d")
        self.failures: dict[int, Failure] = {}
        self.elsewhere: list[int] = []
        self._kept = 0
        self._store_seconds = 0.0

    def add(self, position: int, value: object, seconds: float) -> None:
        """Note a call's result and how many seconds it ran."""
        self.positions.append(position)
        self.values.append(value)
        self.run.append(seconds)

    def __len__(self) -> int:
        return len(self.positions) + len(self.failures) + len(self.elsewhere)

    async def add_kept(self, position: int, value: object, seconds: float) -> None:
        """Write a call's result to the store first, then note it."""
        kept = await self._keep(position, value)
        if kept is not _NOT_HERE:
            self.add(position, kept, seconds)

    async def keep_values(self) -> None:
        """Write the results to the store that were gathered since the last time."""
        import asyncio

        started = perf_counter()
        first = self._kept
        fresh = zip(self.positions[first:], self.values[first:], strict=True)
        kept = await asyncio.gather(*(self._keep(position, value) for position, value in fresh))
        here = [place for place, value in enumerate(kept, first) if value is not _NOT_HERE]
        if len(here) < len(kept):
            places = [*range(first), *here]
            self.positions = [self.positions[place] for place in places]
            self.run = array("d", [self.run[place] for place in places])
        self.values[first:] = [value for value in kept if value is not _NOT_HERE]
        self._kept = len(self.values)
        self._store_seconds += perf_counter() - started

    async def _keep(self, position: int, value: object) -> object:
        """Return what the answer carries for a result: itself, a ref; `_NOT_HERE` for nothing."""
        pack = pack_data if self._plan.data_results else pack_object
        if self.announce is not None:
            self.announce(position)
        try:
            pieces = pack(value)
        except BaseException as error:  # noqa: BLE001 - the user's own reduction failed
            self.failures[position] = unsendable(value, error)
            return _NOT_HERE
        try:
            if self._plan.by_reference:
                name = digest(pieces)
                store = open_shared_store(self._plan.store_url)
                await store.put(object_key(name), pieces)
                ref: Ref[Any] = Ref(
                    name, sum(memoryview(piece).nbytes for piece in pieces), store.url
                )
                value, pieces = ref, pack(ref)
            if self.commits is not None and not await self.commits.commit(position, pieces):
                self.elsewhere.append(position)
                return _NOT_HERE
        except Exception as error:  # noqa: BLE001 - what is not kept is not answered
            self.failures[position] = describe(error, STORE)
            return _NOT_HERE
        return value

    def results(self) -> Outcome | None:
        """Encode the results so far, if any, for a thread that is busy with a further call.

        It goes on adding at the end while these are taken from the start. Failures, and what can't
        be pickled, are left to it.
        """
        if self._plan.keeps or not self._encoding.acquire(blocking=False):
            return None  # they are on their way
        try:
            count = len(self.run)  # a call's time is added last
            values = self.values[:count]
            segments: list[Buffer] = []
            encoded = Encoded(None, values)
            if not all_plain(values):
                kinds = bytearray()
                bodies: list[Any] = []
                try:
                    for value in values:
                        kind, body = self._encode_value(value, segments)
                        kinds.append(kind)
                        bodies.append(body)
                except BaseException:  # noqa: BLE001 - the user's own reduction failed
                    count = len(bodies)
                encoded = Encoded(bytes(kinds), bodies)
            if not count:
                return None
            run, positions = self.run[:count], self.positions[:count]
            outcome = Outcome(
                flight=self._flight,
                positions=_span(positions),
                values=encoded,
                run=run,
                logs=self._logs(positions),
                busy=sum(run),
                cold=self._cold,
                peak_memory=peak_memory(),
                segments=segments,
            )
            self._since += outcome.busy
            del self.positions[:count], self.values[:count], self.run[:count]
            return outcome
        finally:
            self._encoding.release()

    def outcome(self, *, final: bool) -> Outcome:
        """Encode what was gathered and start anew."""
        with self._encoding:
            return self._outcome(final=final)

    def _outcome(self, *, final: bool) -> Outcome:
        started = perf_counter()
        segments: list[Buffer] = []
        plain = all_plain(self.values)
        encoded = Encoded(None, self.values) if plain else self._encode(segments)
        now = self._clock()
        outcome = Outcome(
            flight=self._flight,
            positions=_span(self.positions),
            values=encoded,
            run=self.run,
            failures=_as_text(self.failures) if self._plan.data_results else self.failures,
            logs=self._logs([*self.positions, *self.failures, *self.elsewhere]),
            busy=max(0.0, now - self._since - self.fetch - self.load),
            phases=Phases(
                self.fetch,
                self.load,
                self.deserialize,
                perf_counter() - started,
                self._store_seconds,
            ),
            cold=self._cold,
            peak_memory=peak_memory(),
            final=final,
            segments=segments,
            elsewhere=self.elsewhere,
        )
        self._since = now
        self.fetch = self.load = self.deserialize = 0.0
        self.clear()
        return outcome

    def _logs(self, positions: list[int]) -> dict[int, str]:
        return {
            place: transcript.text()
            for place in (positions if self.transcripts else ())
            if (transcript := self.transcripts.pop(place, None)) is not None
        }

    def _encode(self, segments: list[Buffer]) -> Encoded:
        """Encode values one by one; those that can't be sent become failures."""
        kinds = bytearray()
        bodies: list[Any] = []
        positions: list[int] = []
        run: array[float] = array("d")
        for position, value, seconds in zip(self.positions, self.values, self.run, strict=True):
            if self.announce is not None:
                self.announce(position)
            try:
                kind, body = self._encode_value(value, segments)
            except BaseException as error:  # noqa: BLE001 - the user's own reduction failed
                self.failures[position] = unsendable(value, error)
                continue
            kinds.append(kind)
            bodies.append(body)
            positions.append(position)
            run.append(seconds)
        self.positions, self.run = positions, run
        return Encoded(bytes(kinds), bodies)


def _as_text(failures: dict[int, Failure]) -> dict[int, Failure]:
    return {place: failure._replace(pickled=None) for place, failure in failures.items()}


def unsendable(value: object, error: BaseException) -> Failure:
    """Tell that a result can't be sent, and which part of it is to blame."""
    if isinstance(error, NotDataError):
        message = f"the function's result can't be sent as data (trust='data'): {error}"
        return describe(error, RESULT, message=message, as_text=True)
    from ._blame import blame

    return describe(error, RESULT, message=blame("the function's result", value, error))


def _span(positions: list[int]) -> Sequence[int]:
    """Return them as a range, if they are one: coroutine calls end in any order."""
    if not positions:
        return positions
    span = range(positions[0], positions[0] + len(positions))
    return span if list(span) == positions else positions
