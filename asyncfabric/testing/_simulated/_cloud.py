"""`SimulatedCloud`: an account on virtual time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from asyncfabric._checks import check_count
from asyncfabric._exceptions import ConfigurationError
from asyncfabric._fabric import Fabric

from ._backend import SimulatedBackend
from ._chances import Chances
from ._function import SimulatedFunction
from ._history import History
from ._ledger import Ledger
from ._loop import VirtualLoop, check_program
from ._output import output_kept
from ._profile import Profile
from ._service import Service
from ._sleep import sleep_refused
from ._store import SimulatedStore, forget_store

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Unpack

    from asyncfabric._options import Options
    from asyncfabric.scheduling import Limit
    from asyncfabric_storage import ObjectStore

T = TypeVar("T")

MEMORY = 1769
"""MiB that have one core."""


class SimulatedCloud:
    """A simulated AWS account with Lambda and S3, on virtual time, all chances from one seed.

    The Fabric and its driver are the real ones, and so is the runtime that runs the functions; the
    service, its latencies, limits and faults, and the clock are simulated. A function says by
    `spend` how long its work would take. The same program with the same seed has the same history.

        def work(x):
            asyncfabric.testing.spend(2.0)
            return x * x

        async def main():
            async with cloud.fabric(max_concurrency=1000) as fabric:
                return await fabric.map(work, range(1000))

        cloud = asyncfabric.testing.SimulatedCloud(seed=1)
        squares = cloud.run(main)
        print(cloud.ledger.makespan, cloud.ledger.total.gigabyte_seconds)

    Args:
        seed: what all chances are drawn from.
        profile: how the cloud behaves; `Profile.default()` unless given.
        history: write every event down, to be compared; see `history`.
        record: keep a record of every attempt in the ledger.

    Attributes:
        seed: as given.
        profile: as given.
        ledger: what it all came to.
        history: what happened, line by line; None unless asked for.
        store: the account's object store, which lasts as long as the cloud.
    """

    def __init__(
        self,
        seed: int = 0,
        profile: Profile | None = None,
        *,
        history: bool = False,
        record: bool = False,
    ) -> None:
        given: Any = profile
        if not isinstance(given, Profile | None):
            raise ConfigurationError(
                f"profile={profile!r} makes no sense; give a Profile, such as Profile.heavy()"
            )
        self.seed: int = seed
        self.profile: Profile = Profile.default() if profile is None else profile
        self.ledger: Ledger = Ledger()
        self.history: History | None = History() if history else None
        self._record = record
        self._chances = Chances(seed)
        self.store: ObjectStore = SimulatedStore(self.profile.store, self._chances, self.ledger)
        self._now = 0.0
        self._concurrency = self.profile.concurrency
        self._service: Service | None = None
        self._functions: dict[str, SimulatedFunction] = {}
        self._jobs: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"SimulatedCloud(seed={self.seed}, profile={self.profile})"

    # -- running --------------------------------------------------------------------------------

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a program on virtual time and return its result.

        `main` is a coroutine function without arguments. An exception that it raises has a note
        that names the seed. What runs at the end for nobody is run, and billed, to its own end.
        The next run goes on at the time when the last one ended, with the
        environments and objects that it left.

        Raises `RuntimeError` inside a running loop, and if the program waits for what never comes,
        and `TypeError` for anything but a coroutine function.
        """
        check_program(main)
        loops: list[VirtualLoop] = []

        def make() -> VirtualLoop:
            loops.append(VirtualLoop(self._now))
            return loops[-1]

        try:
            with output_kept(), sleep_refused(), asyncio.Runner(loop_factory=make) as runner:
                runner.get_loop()  # is made now
                self._service = Service(
                    self.profile,
                    self._chances,
                    self.ledger,
                    self.store,
                    loops[0],
                    self.history,
                    record=self._record,
                )
                self._service.concurrency = self._concurrency
                for function in self._functions.values():
                    self._service.set_aside += function.reserved or 0
                return runner.run(self._to_the_end(main(), self._service))
        except BaseException as error:
            error.add_note(f"{self!r} replays this")
            raise
        finally:
            if loops:
                self._now = loops[-1].time()
            self._service = None
            forget_store(self.store.url)

    async def _to_the_end(self, main: Coroutine[Any, Any, T], service: Service) -> T:
        try:
            return await main
        finally:
            await service.rest()

    def fabric(
        self,
        *,
        function: str = "worker",
        memory: int | None = None,
        reserved: int | None = None,
        max_concurrency: int | None = None,
        max_pending: int | None = None,
        limit: Limit | None = None,
        heartbeats: bool = False,
        **options: Unpack[Options],
    ) -> Fabric:
        """Return a Fabric whose backend and store are this cloud's; for use inside `run`.

        Args:
            function: the Lambda function that it invokes. It is made when first named, and several
                Fabrics may invoke the same one.
            memory: its memory in MiB, which a second's price depends on; 1769 is one core.
            reserved: invocations at once that are set aside for it, if any are.
            max_concurrency: invocations at once at most; 100 by default, as on Lambda.
            max_pending: as in `Fabric`.
            limit: as in `Fabric`.
            heartbeats: calls that run for long tell of their progress through the store, as with
                `lambda://...?heartbeats=store`.
            **options: as in `Fabric`.
        """
        service = self._service
        if service is None:
            raise ConfigurationError(
                "cloud.fabric() works inside cloud.run(main), where the simulated time passes"
            )
        known = self._function(service, function, memory, reserved)
        seed = self._chances.stream("driver").getrandbits(64)
        backend = SimulatedBackend(
            service, known, self._number, seed, max_concurrency, heartbeats=heartbeats
        )
        return Fabric(
            backend,
            storage=self.store,
            max_concurrency=max_concurrency,
            max_pending=max_pending,
            limit=limit,
            **options,
        )

    def _function(
        self, service: Service, name: str, memory: int | None, reserved: int | None
    ) -> SimulatedFunction:
        """Return a function of the account; it is made when it is named first."""
        known = self._functions.get(name)
        if known is not None:
            if (memory or known.memory, reserved or known.reserved) != (
                known.memory,
                known.reserved,
            ):
                raise ConfigurationError(
                    f"function {name!r} has memory={known.memory} and reserved={known.reserved} "
                    "already; give the same, or another name"
                )
            return known
        if memory is not None:
            check_count("memory", memory)
        if reserved is not None:
            check_count("reserved", reserved)
            if service.set_aside + reserved > self._concurrency:
                raise ConfigurationError(
                    f"reserved={reserved} is more than is left of the account's "
                    f"{self._concurrency}; reserve less, or give a Profile with more concurrency"
                )
            service.set_aside += reserved
        known = self._functions[name] = SimulatedFunction(
            name, memory or MEMORY, reserved, self.profile, self.ledger.function(name), self.now
        )
        return known

    def _number(self, job: str) -> int:
        return self._jobs.setdefault(job, len(self._jobs) + 1)

    @property
    def concurrency(self) -> int:
        """Invocations that the account runs at a time; may be changed while it runs.

        asyncio.get_running_loop().call_later(10.0, setattr, cloud, "concurrency", 200)
        """
        return self._concurrency

    @concurrency.setter
    def concurrency(self, limit: int) -> None:
        given: Any = limit
        if isinstance(given, bool) or not isinstance(given, int) or given < 0:
            raise ConfigurationError(
                f"concurrency={limit!r} makes no sense; give a whole number, 0 for an outage"
            )
        self._concurrency = limit
        if self._service is not None:
            self._service.concurrency = limit

    @property
    def running(self) -> int:
        """Invocations that run just now."""
        return 0 if self._service is None else self._service.running

    @property
    def now(self) -> float:
        """The simulated time, in seconds."""
        return self._now if self._service is None else self._service.agenda.loop.time()
