"""The events of a Fabric: one per invocation or answer and none per call, so they cost little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from typing import Self

    from asyncfabric_runtime import Outcome


@dataclass(frozen=True, slots=True)
class InvocationLaunched:
    """An invocation left for a worker.

    Attributes:
        job: the fan-out: one map, or the submits of one function.
        flight: the invocation's number, used once in a Fabric's life.
        calls: how many calls it has.
        copy: they are at another worker already, which takes too long.
    """

    job: str
    flight: int
    calls: int
    copy: bool = False


@dataclass(frozen=True, slots=True)
class CallsAnswered:
    """A worker answered calls of an invocation; it may do so in several parts.

    An answer counts even when nobody waits for it any more, because its call was cancelled or its
    map has ended.

    Attributes:
        job: as in `InvocationLaunched`.
        flight: as in `InvocationLaunched`.
        finished: calls answered with a value.
        failed: calls answered with an error; those may be tried again.
        worker: which worker it was, such as its process id.
        busy: seconds that these calls kept the worker busy; for coroutine functions, of processor
            time.
        cold: it was the worker process's first invocation.
    """

    job: str
    flight: int
    finished: int
    failed: int
    worker: str
    busy: float
    cold: bool

    @classmethod
    def of(cls, outcome: Outcome, job: str, worker: str) -> Self:
        """Return the event that an outcome is."""
        failed = len(outcome.failures)
        finished = outcome.answered - failed
        return cls(job, outcome.flight, finished, failed, worker, outcome.busy, outcome.cold)


@dataclass(frozen=True, slots=True)
class CallsReturned:
    """Calls of an invocation came back unrun; unless nobody waits for them, they leave again.

    Attributes:
        job: as in `InvocationLaunched`.
        flight: as in `InvocationLaunched`.
        calls: how many.
    """

    job: str
    flight: int
    calls: int


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker died, was killed or was stopped with an invocation on it.

    Attributes:
        job: as in `InvocationLaunched`.
        flight: as in `InvocationLaunched`.
        calls: calls that it was, or may have been, running; those that only waited on it are told
            of by a `CallsReturned` that follows.
        worker: which worker it was, such as its process id.
        error: how it ended.
    """

    job: str
    flight: int
    calls: int
    worker: str
    error: Exception


@dataclass(frozen=True, slots=True)
class InvocationThrottled:
    """The service had no room for an invocation: nothing of it ran.

    A `CallsReturned` of its calls follows.

    Attributes:
        job: as in `InvocationLaunched`.
        flight: as in `InvocationLaunched`.
        calls: how many calls it has.
        scarce: what there was too little of: invocations at a time, launches a second, or any way
            to reach the service.
        retry_after: seconds to wait, if the service said so.
    """

    job: str
    flight: int
    calls: int
    scarce: Literal["concurrency", "rate", "reach"]
    retry_after: float | None


Event: TypeAlias = (
    InvocationLaunched | CallsAnswered | CallsReturned | WorkerLost | InvocationThrottled
)


class Observer(Protocol):
    """Takes the events of a Fabric, as they happen, in its event loop.

    For each `flight` there is one `InvocationLaunched`, and after it come answers, returns and
    losses that add up to its calls, unless the Fabric is closed before. Events of one flight come
    in order; those of several mix.

    An observer is called from within the dispatcher: it must return soon, and it must not use the
    Fabric; what takes longer belongs into a task of its own. What it raises goes to the loop's
    exception handler (`loop.set_exception_handler`), the other observers get the event, and the
    Fabric goes on.
    """

    def __call__(self, event: Event, /) -> None:
        """Take an event."""
        ...
