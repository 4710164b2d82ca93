"""One invocation on its way through the simulated service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncfabric.backends._heard import Heard
    from asyncfabric_runtime import Envelope, Outcome
    from asyncfabric_runtime._progress import Report
    from asyncfabric_runtime._values import Encoded
    from asyncfabric_storage._buffers import Buffer

    from ._function import SimulatedFunction


class Door(Protocol):
    """Told by the service what became of an invocation."""

    def on_answer(self, work: Work, outcome: Outcome) -> None:
        """Take the answer."""
        ...

    def on_trouble(self, work: Work, trouble: str) -> None:
        """Know that there is none, and why: "throttled REASON", "failed KIND" or "lost"."""
        ...

    def on_duplicate(self, work: Work, outcome: Outcome) -> None:
        """Take the answer of the service's own duplicate, before or after that of the first."""
        ...

    def on_report(self, work: Work, report: Report) -> None:
        """Know what an invocation is at."""
        ...


class Work:
    """An invocation, from its launch to its answer.

    Attributes:
        envelope: what is to be run.
        function: by which function.
        door: who waits for the answer.
        job: the number of its fan-out, from 1.
        asked: when it was asked for, in simulated seconds.
        copies: its calls that had another attempt under way then.
        answered: it has been answered, or refused; nothing more is told.
        key: where in the store its envelope is, if it was too large.
        result: where in the store its answer is, if that was.
        recalled: nobody waits for it any more.
        worker: the environment it is in.
        heard: what its worker told while it ran; None where workers don't tell.
    """

    __slots__ = (
        "answered",
        "asked",
        "copies",
        "door",
        "envelope",
        "function",
        "heard",
        "job",
        "key",
        "recalled",
        "result",
        "worker",
    )

    def __init__(
        self, envelope: Envelope, function: SimulatedFunction, door: Door, job: int
    ) -> None:
        self.envelope = envelope
        self.function = function
        self.door = door
        self.job = job
        self.asked = 0.0
        self.copies = 0
        self.answered = False
        self.key: str | None = None
        self.result: str | None = None
        self.recalled = False
        self.worker = ""
        self.heard: Heard | None = None

    @property
    def name(self) -> str:
        """How the history calls it."""
        indices = self.envelope.indices
        calls = f"{indices[0]}" if len(indices) == 1 else f"{indices[0]}..{indices[-1]}"
        return f"job {self.job} flight {self.envelope.flight} calls {calls}"


INLINE_BYTES = 256 * 1024
"""What an invocation carries itself; more goes through the store."""


def weight(encoded: Encoded, segments: list[Buffer]) -> int:
    """Return about how many bytes values have on the wire."""
    kinds, bodies = encoded
    size = 64 * len(bodies)
    if kinds is not None or (bodies and type(bodies[0]) in {str, bytes}):
        size += sum(len(body) for body in bodies if isinstance(body, bytes | str))
    for segment in segments:
        size += memoryview(segment).nbytes
    return size
