"""One invocation on its way through the simulated service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from asyncfabric_runtime import Envelope, Outcome

    from ._function import SimulatedFunction
    from ._meter import Mark


class Door(Protocol):
    """Told by the service what became of an invocation."""

    def on_answer(self, work: Work, outcome: Outcome) -> None:
        """Take the answer."""
        ...

    def on_trouble(self, work: Work, trouble: str) -> None:
        """Know that there is none, and why: "throttled REASON", "failed service", "failed worker" or "lost"."""
        ...

    def on_mark(self, work: Work, mark: Mark) -> None:
        """Know how far a call is."""
        ...


class Work:
    """An invocation, from its launch to its answer.

    Attributes:
        envelope: what is to be run.
        function: by which function.
        door: who waits for the answer.
        job: the number of its fan-out, from 1.
        copies: its calls that had another attempt under way at the launch.
        answered: it has been answered, or refused; nothing more is told.
        key: where in the store its envelope is, if it was too large.
        recalled: nobody waits for it any more.
    """

    __slots__ = (
        "answered",
        "copies",
        "door",
        "envelope",
        "function",
        "job",
        "key",
        "recalled",
    )

    def __init__(
        self, envelope: Envelope, function: SimulatedFunction, door: Door, job: int
    ) -> None:
        self.envelope = envelope
        self.function = function
        self.door = door
        self.job = job
        self.copies = 0
        self.answered = False
        self.key: str | None = None
        self.recalled = False

    @property
    def name(self) -> str:
        """How the history calls it."""
        indices = self.envelope.indices
        calls = f"{indices[0]}" if len(indices) == 1 else f"{indices[0]}..{indices[-1]}"
        return f"job {self.job} flight {self.envelope.flight} calls {calls}"
