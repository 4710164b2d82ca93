"""A simulated Lambda function: its environments, and how fast it is given new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric.testing._admission import Bucket
from asyncfabric_runtime._process import Process

if TYPE_CHECKING:
    from ._ledger import FunctionLedger
    from ._profile import Profile


class Environment:
    """One execution environment: a process that serves one invocation at a time."""

    __slots__ = ("idle_since", "number", "process")

    def __init__(self, number: int) -> None:
        self.number = number
        self.process = Process()
        self.idle_since = 0.0


class SimulatedFunction:
    """One function of the simulated account.

    Args:
        name: its name.
        memory: its memory, in MiB; what a second costs.
        reserved: invocations at a time, set aside for it; None: it shares what is left.
        profile: how the cloud behaves.
        ledger: where what it comes to is written down.
        now: the simulated time.
    """

    def __init__(
        self,
        name: str,
        memory: int,
        reserved: int | None,
        profile: Profile,
        ledger: FunctionLedger,
        now: float,
    ) -> None:
        self.name = name
        self.memory = memory
        self.reserved = reserved
        self.ledger = ledger
        self.running = 0
        self._idle_seconds = profile.idle_seconds
        self._ramp = Bucket(profile.environments_at_once, profile.environments_per_second, now)
        self._idle: list[Environment] = []
        self._started = 0

    def environment(self, now: float) -> Environment | None:
        """Return an idle environment, the one used last, or a new one; None: not so fast."""
        idle = self._idle
        if idle:
            if now - idle[-1].idle_since <= self._idle_seconds:
                return idle.pop()
            idle.clear()
        if not self._ramp.take(now):
            return None
        self._started += 1
        self.ledger.cold_starts += 1
        return Environment(self._started)

    def idle(self, now: float) -> int:
        """Return how many environments are warm and idle."""
        return sum(now - each.idle_since <= self._idle_seconds for each in self._idle)

    def start(self, environments: int, now: float) -> list[Environment]:
        """Start environments until so many are idle, or no more are given; return the new ones."""
        started: list[Environment] = []
        while self.idle(now) < environments and self._ramp.take(now):
            self._started += 1
            self.ledger.cold_starts += 1
            started.append(Environment(self._started))
            self.release(started[-1], now)
        return started

    def release(self, environment: Environment, now: float) -> None:
        """Keep an environment for the next invocation."""
        environment.idle_since = now
        self._idle.append(environment)
