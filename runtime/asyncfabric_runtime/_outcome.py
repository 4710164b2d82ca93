"""What a worker answers: results, failures, timings and output of some calls of an invocation.

One invocation may be answered in several outcomes, each as soon as it is worth a frame; every call
is answered once.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

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


@dataclass(slots=True)
class Outcome:
    """Answers to the calls at `positions` of an invocation.

    Attributes:
        flight: the driver's number for the invocation.
        positions: which calls are answered with a value, by place in the envelope.
        values: their encoded values.
        run: seconds each of them ran, as an array of doubles.
        failures: the calls that failed, by position.
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

    flight: int
    positions: Sequence[int]
    values: Encoded
    run: array[float]
    failures: dict[int, Failure] = field(default_factory=dict[int, Failure])
    logs: dict[int, str] = field(default_factory=dict[int, str])
    busy: float = 0.0
    phases: Phases = Phases()  # noqa: RUF009 - immutable
    cold: bool = False
    peak_memory: int = 0
    final: bool = False
    lacks: list[str] = field(default_factory=list[str])
    segments: list[Buffer] = field(default_factory=list["Buffer"])

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
        )
        return pack(OUTCOME, head, self.segments)

    @classmethod
    def from_segments(cls, segments: Sequence[Buffer]) -> Outcome:
        """Read an outcome from a frame's segments. Raises `WireError`."""
        head, *rest = segments
        try:
            flight, where, values, run, failures, *others = load_head(head)
            logs, busy, phases, cold, peak_memory, final, lacks = others
            return cls(
                flight=flight,
                positions=places_from_wire(where),
                values=Encoded(*values),
                run=array("d", run),
                failures={place: Failure(*failure) for place, failure in failures.items()},
                logs=logs,
                busy=busy,
                phases=Phases(*phases),
                cold=cold,
                peak_memory=peak_memory,
                final=final,
                lacks=lacks,
                segments=rest,
            )
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
            msg = f"an outcome has another shape than this driver knows: {error}"
            raise WireError(msg) from error
