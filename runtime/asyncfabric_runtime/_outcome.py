"""What a worker answers: results, failures, timings and output of some calls of an invocation.

One invocation may be answered in several outcomes, each as soon as it is worth a frame; every call
is answered once.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from ._claims import outcome_agrees
from ._envelope import places_from_wire, places_to_wire
from ._failure import Failure
from ._values import Encoded
from ._wire import OUTCOME, WireError, load_head, pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage._buffers import Buffer


class Phases(NamedTuple):
    """Seconds spent on an invocation's calls, apart from running them.

    `fetch` and `load` come once, in the first outcome.
    """

    fetch: float = 0.0  # shared values and refs read from the store
    load: float = 0.0  # function unpickled, imports, initializer
    deserialize: float = 0.0  # inputs unpickled
    serialize: float = 0.0  # results pickled
    store: float = 0.0  # results written to the store


NO_PHASES = Phases()


class Outcome:
    """Answers to the calls at `positions` of an invocation.

    Attributes:
        flight: the driver's number for the invocation.
        positions: which calls are answered with a value, by place in the envelope.
        values: their encoded values.
        run: seconds each of them ran, as an array of doubles.
        failures: the calls that failed, by position.
        elsewhere: calls whose result is to be read from the store: those of a durable job whose
            result is large, or whose other attempt's result was committed first.
        logs: what calls printed and logged, by position.
        busy: seconds this part of the invocation kept the worker busy, overhead included; for
            coroutine functions, of processor time.
        phases: where the rest of the time went.
        cold: this was the process's first invocation.
        peak_memory: the process's peak resident memory, bytes.
        final: the invocation is over; no further outcome follows.
        lacks: digests of code the worker has not got; nothing ran, send them along.
        segments: large buffers, referred to by `values`.
    """

    __slots__ = (
        "busy",
        "cold",
        "elsewhere",
        "failures",
        "final",
        "flight",
        "lacks",
        "logs",
        "peak_memory",
        "phases",
        "positions",
        "run",
        "segments",
        "values",
    )

    def __init__(
        self,
        flight: int,
        positions: Sequence[int],
        values: Encoded,
        run: array[float],
        failures: dict[int, Failure] | None = None,
        logs: dict[int, str] | None = None,
        busy: float = 0.0,
        phases: Phases = NO_PHASES,
        cold: bool = False,  # noqa: FBT001, FBT002 - made by name, or from the wire
        peak_memory: int = 0,
        final: bool = False,  # noqa: FBT001, FBT002
        lacks: list[str] | None = None,
        segments: list[Buffer] | None = None,
        elsewhere: list[int] | None = None,
    ) -> None:
        self.flight: int = flight
        self.positions: Sequence[int] = positions
        self.values: Encoded = values
        self.run: array[float] = run
        self.failures: dict[int, Failure] = {} if failures is None else failures
        self.logs: dict[int, str] = {} if logs is None else logs
        self.busy: float = busy
        self.phases: Phases = phases
        self.cold: bool = cold
        self.peak_memory: int = peak_memory
        self.final: bool = final
        self.lacks: list[str] = [] if lacks is None else lacks
        self.segments: list[Buffer] = [] if segments is None else segments
        self.elsewhere: list[int] = [] if elsewhere is None else elsewhere

    @property
    def answered(self) -> int:
        """How many calls it answers."""
        return len(self.positions) + len(self.failures) + len(self.elsewhere)

    def to_frame(self) -> list[Buffer]:
        """Lay the outcome out for a byte stream."""
        head = (
            self.flight,
            places_to_wire(self.positions),
            tuple(self.values),
            self.run.tobytes(),
            {place: tuple(failure) for place, failure in self.failures.items()},
            self.logs,
            self.busy,
            tuple(self.phases),
            self.cold,
            self.peak_memory,
            self.final,
            self.lacks,
            self.elsewhere,
        )
        return pack(OUTCOME, head, self.segments)

    @classmethod
    def from_segments(cls, segments: Sequence[Buffer]) -> Outcome:
        """Read an outcome from a frame's segments. Raises `WireError`."""
        head, *rest = segments
        try:
            flight, where, values, run, failures, *others = load_head(head)
            logs, busy, phases, cold, peak_memory, final, lacks, elsewhere = others
            told = {place: Failure(*failure) for place, failure in failures.items()}
            outcome = cls(
                flight,
                places_from_wire(where),
                Encoded(*values),
                array("d", run),
                told,
                logs,
                busy,
                Phases(*phases),
                cold,
                peak_memory,
                final,
                lacks,
                rest,
                list(elsewhere),
            )
            if outcome_agrees(outcome):
                return outcome
            error: Exception = ValueError("its parts don't agree with each other")
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as raised:
            error = raised
        msg = f"an outcome has another shape than this driver knows: {error}"
        raise WireError(msg) from error
