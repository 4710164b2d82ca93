"""What a simulation came to: what ran, what it cost, when it was done."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One invocation that got an environment, as the cloud saw it.

    Attributes:
        function: the function's name.
        job: which of the simulation's fan-outs, from 1.
        flight: the driver's number for the invocation.
        indices: the calls that it carried.
        attempts: for each of them, the number of the attempt, as `current().attempt` has it.
        calls: how many of them were begun.
        copies: how many of them were running elsewhere at the time.
        asked: when the driver asked for it, in simulated seconds.
        began: when the environment was ready, in simulated seconds.
        ended: when it was free again.
        billed: seconds to be paid, the environment's start included.
        outcome: "answered", "lost", "duplicate", or "failed" and how: "service" (Lambda said so),
            "gateway" or "worker" (the environment ended).
        slow: how many times longer the environment took.
        cold: it was a new environment.
    """

    function: str
    job: int
    flight: int
    indices: tuple[int, ...]
    attempts: tuple[int, ...]
    calls: int
    copies: int
    asked: float
    began: float
    ended: float
    billed: float
    outcome: str
    slow: float
    cold: bool


@dataclass(slots=True)
class FunctionLedger:
    """What one function came to.

    Attributes:
        invocations: requests to run it, refused ones included.
        throttled: requests that were refused.
        served: invocations that got an environment, the service's own duplicates included.
        attempts: calls begun in those.
        copies: attempts at calls that had another attempt under way.
        duplicates: invocations that the service ran once more by itself.
        failed: invocations that were lost with their environment.
        lost: invocations that ended well, but whose answer was lost.
        cold_starts: environments that were started.
        billed_seconds: seconds to be paid, by milliseconds, starts included.
        gigabyte_seconds: those times the memory in GiB.
    """

    invocations: int = 0
    throttled: int = 0
    served: int = 0
    attempts: int = 0
    copies: int = 0
    duplicates: int = 0
    failed: int = 0
    lost: int = 0
    cold_starts: int = 0
    billed_seconds: float = 0.0
    gigabyte_seconds: float = 0.0


@dataclass(slots=True)
class Ledger:
    """What a simulation came to; `SimulatedCloud.ledger`.

    Attributes:
        functions: by name.
        requests: requests to the object store, by operation ("get", "put", "head", "delete",
            "list"), repeated ones included.
        refused: those of them that the store answered with an error, by its code.
        first: when the first invocation was asked for, in simulated seconds.
        last: when the last answer with a result came.
        completed: when each call was first answered with a value, ascending: a timeline.
        failures: calls that were answered with an error of their own.
        most_copies: at how many places one call was running at a time, at most.
        records: every served invocation, if `SimulatedCloud(record=True)`; else empty.
    """

    functions: dict[str, FunctionLedger] = field(default_factory=dict[str, FunctionLedger])
    requests: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    first: float | None = None
    last: float = 0.0
    completed: array[float] = field(default_factory=lambda: array("d"))
    failures: int = 0
    most_copies: int = 0
    records: list[AttemptRecord] = field(default_factory=list[AttemptRecord])

    def function(self, name: str) -> FunctionLedger:
        """Return what a function came to."""
        return self.functions.setdefault(name, FunctionLedger())

    @property
    def total(self) -> FunctionLedger:
        """All functions together."""
        total = FunctionLedger()
        for each in self.functions.values():
            for name in FunctionLedger.__slots__:
                setattr(total, name, getattr(total, name) + getattr(each, name))
        return total

    @property
    def makespan(self) -> float:
        """Seconds from the first invocation to the last result."""
        return max(0.0, self.last - self.first) if self.first is not None else 0.0
