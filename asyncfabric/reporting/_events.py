"""The events of a Fabric. There is one per invocation or outcome, none per call: they cost little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias


@dataclass(frozen=True, slots=True)
class InvocationLaunched:
    """An invocation with `calls` calls of fan-out `job` left for a worker."""

    job: str
    flight: int
    calls: int


@dataclass(frozen=True, slots=True)
class CallsAnswered:
    """A worker answered calls of an invocation."""

    job: str
    flight: int
    finished: int
    failed: int
    worker: str
    cold: bool


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died with an invocation on it."""

    worker: str
    error: Exception


Event: TypeAlias = InvocationLaunched | CallsAnswered | WorkerLost


class Observer(Protocol):
    """Is called in the event loop with each event; it must not block and must not raise."""

    def __call__(self, event: Event, /) -> None:
        """Take an event."""
        ...
