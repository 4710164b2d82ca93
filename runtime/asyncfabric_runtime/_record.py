"""What a running invocation has to answer with, gathered call by call."""

from __future__ import annotations

from _thread import allocate_lock
from array import array
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from asyncfabric_storage import digest, object_key

from ._failure import RESULT, Failure, describe
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
    from ._envelope import Plan


class Record:
    """Results and failures since the last outcome, and the time they took."""

    def __init__(self, flight: int, plan: Plan, *, cold: bool) -> None:
        self._flight = flight
        self._plan = plan
        self._cold = cold
        self._clock = process_time if plan.is_async else perf_counter
        self._since = self._clock()
        self.transcripts: dict[int, Transcript] = {}
        self.announce: Callable[[int], None] | None = None
        """Told which call's result is about to be pickled: that may kill the process."""
        self.fetch = self.load = self.deserialize = 0.0
        self._encoding = allocate_lock()
        self.clear()

    def clear(self) -> None:
        """Forget what was gathered since the last outcome."""
        self.positions: list[int] = []
        self.values: list[Any] = []
        self.run: array[float] = array("d")
        self.failures: dict[int, Failure] = {}
        self._store_seconds = 0.0

    def add(self, position: int, value: object, seconds: float) -> None:
        """Note a call's result and how many seconds it ran."""
        self.positions.append(position)
        self.values.append(value)
        self.run.append(seconds)

    def __len__(self) -> int:
        return len(self.positions) + len(self.failures)

    async def store_values(self) -> None:
        """Write the results to the store and put refs in their place."""
        started = perf_counter()
        store = open_shared_store(self._plan.store_url)
        kept: list[tuple[int, Ref[Any], float]] = []
        for position, value, seconds in zip(self.positions, self.values, self.run, strict=True):
            if self.announce is not None:
                self.announce(position)
            try:
                pieces = pack_object(value)
            except BaseException as error:  # noqa: BLE001 - the user's own reduction failed
                self.failures[position] = unsendable(value, error)
                continue
            name = digest(pieces)
            try:
                await store.put(object_key(name), pieces)
            except Exception as error:  # noqa: BLE001 - the store's failure is the call's
                self.failures[position] = describe(error)
                continue
            size = sum(memoryview(piece).nbytes for piece in pieces)
            kept.append((position, Ref(name, size, store.url), seconds))
        self.positions = [position for position, _, _ in kept]
        self.values = [ref for _, ref, _ in kept]
        self.run = array("d", [seconds for _, _, seconds in kept])
        self._store_seconds += perf_counter() - started

    def results(self) -> Outcome | None:
        """Encode the results so far, if any, for a thread that is busy with a further call.

        It goes on adding at the end while these are taken from the start. Failures, and what can't
        be pickled, are left to it.
        """
        if self._plan.by_reference or not self._encoding.acquire(blocking=False):
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
                        kind, body = encode_value(value, segments)
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
            failures=self.failures,
            logs=self._logs([*self.positions, *self.failures]),
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
                kind, body = encode_value(value, segments)
            except BaseException as error:  # noqa: BLE001 - the user's own reduction failed
                self.failures[position] = unsendable(value, error)
                continue
            kinds.append(kind)
            bodies.append(body)
            positions.append(position)
            run.append(seconds)
        self.positions, self.run = positions, run
        return Encoded(bytes(kinds), bodies)


def unsendable(value: object, error: BaseException) -> Failure:
    """Tell that a result can't be pickled, and which part of it is to blame."""
    from ._blame import blame

    return describe(error, RESULT, message=blame("the function's result", value, error))


def _span(positions: list[int]) -> Sequence[int]:
    """Return them as a range, if they are one: coroutine calls end in any order."""
    if not positions:
        return positions
    span = range(positions[0], positions[0] + len(positions))
    return span if list(span) == positions else positions
