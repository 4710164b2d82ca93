"""A simulated Lambda function: its environments, and how fast it is given new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric.testing._admission import Bucket
from asyncfabric_runtime._process import Process

from ._network import Network

if TYPE_CHECKING:
    from ._ledger import FunctionLedger
    from ._profile import Profile


class Environment:
    """One execution environment: a process that serves one invocation at a time."""

    __slots__ = ("idle_since", "network", "number", "process")

    def __init__(self, number: int, network: Network) -> None:
        self.number = number
        self.network = network
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
        self._profile = profile
        self._ramp = Bucket(profile.environments_at_once, profile.environments_per_second, now)
        self._requests = 1.0
        """What is left of a second's requests, as a share of them."""
        self._seen = now
        self._idle: list[Environment] = []
        self._started = 0

    def admits(self, now: float, concurrency: int) -> bool:
        """Take a request in, or refuse it: so many a second for so much concurrency."""
        rate = self._profile.requests_per_environment * concurrency
        self._requests = min(1.0, self._requests + now - self._seen)
        self._seen = now
        if self._requests * rate < 1.0:
            return False
        self._requests -= 1.0 / rate
        return True

    def environment(self, now: float) -> Environment | None:
        """Return an idle environment, the one used last, or a new one; None: not so fast."""
        idle = self._idle
        if idle:
            if self._is_kept(idle[-1], now):
                return idle.pop()
            idle.clear()
        return self._start() if self._ramp.take(now) else None

    def _start(self) -> Environment:
        self._started += 1
        self.ledger.cold_starts += 1
        profile = self._profile
        return Environment(self._started, Network(profile.burst_bytes, profile.bytes_per_second))

    def _is_kept(self, environment: Environment, now: float) -> bool:
        return now - environment.idle_since <= self._profile.idle_seconds

    def idle(self, now: float) -> int:
        """Return how many environments are warm and idle."""
        return sum(self._is_kept(each, now) for each in self._idle)

    def start(self, environments: int, now: float) -> list[Environment]:
        """Start environments until so many are idle, or no more are given; return the new ones."""
        started: list[Environment] = []
        while self.idle(now) < environments and self._ramp.take(now):
            started.append(self._start())
            self.release(started[-1], now)
        return started

    def release(self, environment: Environment, now: float) -> None:
        """Keep an environment for the next invocation."""
        environment.idle_since = now
        self._idle.append(environment)
