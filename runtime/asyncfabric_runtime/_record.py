"""What a running invocation has to answer with, gathered call by call."""

from __future__ import annotations

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
    from collections.abc import Callable

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

    def outcome(self, *, final: bool) -> Outcome:
        """Encode what was gathered and start anew."""
        started = perf_counter()
        segments: list[Buffer] = []
        plain = all_plain(self.values)
        encoded = Encoded(None, self.values) if plain else self._encode(segments)
        positions = self.positions
        span: Any = range(positions[0], positions[0] + len(positions)) if positions else positions
        if list(span) != positions:
            span = positions  # coroutine calls end in any order
        logs = {
            place: transcript.text()
            for place in ([*positions, *self.failures] if self.transcripts else ())
            if (transcript := self.transcripts.pop(place, None)) is not None
        }
        now = self._clock()
        outcome = Outcome(
            flight=self._flight,
            positions=span,
            values=encoded,
            run=self.run,
            failures=self.failures,
            logs=logs,
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
