"""The simulated Lambda: who may run, in which environment, for how long, and what goes wrong.

The user's functions are run for real, by the runtime, at the moment an environment is ready; what
takes simulated time is what they say by `spend`. Their answer leaves when that time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from asyncfabric.testing._admission import (
    CONCURRENCY,
    RATE,
    RESERVED_CONCURRENCY,
    RESERVED_RATE,
)
from asyncfabric_runtime._outcome import Phases
from asyncfabric_storage import StorageError

from ._accounts import Accounts, Served
from ._agenda import Agenda
from ._beats import Beats, Foreseen, Live
from ._lasting import DiedError, Lasting
from ._meter import Meter
from ._network import network
from ._replies import CALLER_RATE, KINDS
from ._work import INLINE_BYTES, weight

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncfabric_runtime import Outcome
    from asyncfabric_runtime._progress import Report
    from asyncfabric_storage import ObjectStore

    from ._beats import State
    from ._chances import Chances
    from ._function import Environment, SimulatedFunction
    from ._history import History
    from ._ledger import Ledger
    from ._loop import VirtualLoop
    from ._profile import Profile
    from ._work import Work

FUNCTION_SECONDS = 898.0
"""Lambda's longest timeout, less what a worker leaves for its answer."""


class Service:
    """The invocations of one simulated account."""

    def __init__(
        self,
        profile: Profile,
        chances: Chances,
        ledger: Ledger,
        store: ObjectStore,
        loop: VirtualLoop,
        history: History | None = None,
        *,
        record: bool = False,
    ) -> None:
        self.profile = profile
        self.concurrency = profile.concurrency
        self.agenda = Agenda(loop, self._check_rest)
        self.running = 0
        self.peak = 0
        self.set_aside = 0
        self._running_reserved = 0
        self._accounts = Accounts(ledger, history, loop, record=record)
        self._store = store
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._resting: asyncio.Event | None = None
        stream = chances.stream
        self._overheads = stream("overhead")
        self._colds = stream("cold start")
        self._noises = stream("noise")
        self._slows = stream("slow")
        self._slownesses = stream("slowness")
        self._failures = stream("failure")
        self._points = stream("failing point")
        self._losses = stream("loss")
        self._duplicates = stream("duplicate")
        self._throttles = stream("throttle")
        self._heartbeats = stream("heartbeat")

    # -- asking ---------------------------------------------------------------------------------

    def invoke(self, work: Work) -> None:
        """Take an invocation; its door is told what becomes of it."""
        self._accounts.asked(work)
        self.agenda.after(self.profile.overhead.draw(self._overheads), self._arrive, work)

    def _arrive(self, work: Work) -> None:
        found = self._enter(work.function)
        if isinstance(found, str):
            work.function.ledger.throttled += 1
            self._over(work, "throttled " + found)
            work.door.on_trouble(work, "throttled " + found)
            return
        profile = self.profile
        duplicate = profile.duplicates > 0 and self._duplicates.random() < profile.duplicates
        self._serve(work, found, first=True)
        if duplicate and not isinstance(other := self._enter(work.function), str):
            self._serve(work, other, first=False)

    def _enter(self, function: SimulatedFunction) -> Environment | str:
        """Return an environment for an invocation, or the reason why there is none."""
        profile, now = self.profile, self._loop.time()
        if profile.throttles and self._throttles.random() < profile.throttles:
            return self._throttles.choice((CONCURRENCY, RATE, CALLER_RATE))
        share, reserved = self.concurrency - self.set_aside, function.reserved
        if reserved is not None:
            share = reserved
            if function.running >= reserved:
                return RESERVED_CONCURRENCY
        elif self.unreserved <= 0:
            return CONCURRENCY
        if not function.admits(now, share):
            return RATE if reserved is None else RESERVED_RATE
        return function.environment(now) or CONCURRENCY

    def _serve(self, work: Work, environment: Environment, *, first: bool) -> None:
        function = work.function
        self.running += 1
        self.peak = max(self.peak, self.running)
        function.running += 1
        if function.reserved is not None:
            self._running_reserved += 1
        cold = environment.process.invocations == 0
        start = self.profile.cold_start.draw(self._colds) if cold else 0.0
        factor = 1.0
        if self.profile.slow and self._slows.random() < self.profile.slow:
            factor = self.profile.slowness.draw(self._slownesses)
        served = Served(work, environment, factor, start, first=first)
        self._accounts.served(served)
        if start:
            self.agenda.after(start, self._run, served)
        else:
            self._run(served)

    @property
    def unreserved(self) -> int:
        """How many more may run of functions that have nothing set aside."""
        return self.concurrency - self.set_aside - self.running + self._running_reserved

    async def warm(self, function: SimulatedFunction, environments: int) -> None:
        """Have so many environments of a function idle, as far as the limits allow."""
        now = self._loop.time()
        idle = function.idle(now)
        most = idle + max(0, min(environments - idle, self.unreserved))
        slowest = 0.0
        for environment in function.start(most, now):
            slowest = max(slowest, self.profile.cold_start.draw(self._colds))
            environment.process.invocations = 1
        await asyncio.sleep(self.profile.overhead.draw(self._overheads) + slowest)

    # -- running --------------------------------------------------------------------------------

    def _run(self, served: Served) -> None:
        work, profile = served.work, self.profile
        envelope = work.envelope
        plan = envelope.plan
        served.began = self._loop.time()
        meter = Meter(served.slow, profile.noise, self._noises, plan.timeout, FUNCTION_SECONDS)
        invocation = Lasting(envelope, served.environment.process)
        invocation.before = partial(self._spend, served, meter)
        invocation.limit = meter
        invocation.on_progress = meter.mark
        if first := served.first:
            work.worker = f"environment {served.environment.number}"
            if plan.is_async and work.heard is not None:
                live = Live(invocation, lambda: self._loop.time() - served.began)
                invocation.on_progress = live.mark
                self._beat(served, live)
        if (
            plan.is_async
            or plan.keeps
            or (first and work.key is not None)
            or invocation.needs_fetching()
        ):
            self._start(self._run_here(served, invocation, meter))
            return
        # Outside the loop, as in a worker: a plain function may use asyncio.run.
        asyncio._set_running_loop(None)  # noqa: SLF001 - the only way, and asyncio's own
        try:
            outcome = invocation.run()
        finally:
            asyncio._set_running_loop(self._loop)  # noqa: SLF001
        if plan.env:
            served.environment.process.enter_environment(None)
        if weight(outcome.values, outcome.segments) > INLINE_BYTES:
            self._start(self._store_answer(served, outcome, meter, 0.0))
        else:
            self._ran(served, outcome, meter, 0.0)

    def _beat(self, served: Served, state: State, seconds: float = inf) -> None:
        """Have heartbeats written while an invocation runs."""
        served.beats = Beats(
            self.agenda,
            self.profile,
            self._heartbeats,
            state,
            self._accounts.beaten,
            partial(self._found, served.work),
            seconds,
        )

    def _found(self, work: Work, report: Report) -> None:
        if not work.answered:
            work.door.on_report(work, report)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._check_rest()

    async def _run_here(self, served: Served, invocation: Lasting, meter: Meter) -> None:
        network.set(served.environment.network)
        outcomes: list[Outcome] = []
        began = self._loop.time()
        if served.work.key is not None:
            with contextlib.suppress(StorageError):  # it has been deleted, since nobody waits
                await self._store.get(served.work.key)
        with contextlib.suppress(DiedError):  # there is no answer then, and nothing is kept
            await invocation.run_here(outcomes.append, stream=False)
        if invocation.plan.env:
            served.environment.process.enter_environment(None)
        if not outcomes:
            self._end(served, invocation.record.outcome(final=True))
            return
        waited = self._loop.time() - began - (meter.total if served.foreseen else 0.0)
        await self._store_answer(served, outcomes[-1], meter, waited)

    async def _spend(self, served: Served, meter: Meter) -> None:
        """Let the time pass that the calls of a durable job take: then their results are kept.

        Raises `DiedError` where the environment doesn't last so long.
        """
        seconds = self._foresee(served, meter)
        served.foreseen = True
        await asyncio.sleep(seconds)
        if served.fate.startswith("failed"):
            raise DiedError

    async def _store_answer(
        self, served: Served, outcome: Outcome, meter: Meter, waited: float
    ) -> None:
        """Put an answer into the store if it is too large to be carried."""
        work, size = served.work, weight(outcome.values, outcome.segments)
        if size > INLINE_BYTES and served.first:
            network.set(served.environment.network)
            began = self._loop.time()
            key = f"spill/{work.job}/{work.envelope.flight}.answer"
            try:
                await self._store.put(key, bytes(size))
            except StorageError:
                served.fate = "failed worker"
            work.result = key
            waited += self._loop.time() - began
        self._ran(served, outcome, meter, waited)

    def _ran(self, served: Served, outcome: Outcome, meter: Meter, waited: float) -> None:
        seconds = meter.seconds
        served.calls = outcome.answered
        own = waited if served.work.envelope.plan.is_async else 0.0
        outcome.run = array("d", [own + seconds.get(at, 0.0) for at in outcome.positions])
        outcome.phases = Phases(fetch=waited - own)
        outcome.busy = meter.total
        outcome.peak_memory = 0
        left = 0.0 if served.foreseen else self._foresee(served, meter)
        self.agenda.after(left, self._end, served, outcome)

    def _foresee(self, served: Served, meter: Meter) -> float:
        """Draw what becomes of an invocation; return how many seconds that takes."""
        profile, is_async = self.profile, served.work.envelope.plan.is_async
        total = meter.total
        if served.fate != "answered":
            pass
        elif profile.failures and self._failures.random() < profile.failures:
            total *= self._points.random()
            served.fate = "failed " + self._points.choice(KINDS)
            if not is_async:
                served.calls = meter.begun_within(total)
        elif profile.lost and self._losses.random() < profile.lost:
            served.fate = "lost"
        if (
            served.first
            and served.work.heard is not None
            and not is_async
            and total > profile.heartbeat_seconds
        ):
            self._beat(served, Foreseen(meter), total)
        return total

    # -- ending ---------------------------------------------------------------------------------

    def _end(self, served: Served, outcome: Outcome) -> None:
        work, fate, function = served.work, served.fate, served.work.function
        self.running -= 1
        function.running -= 1
        if function.reserved is not None:
            self._running_reserved -= 1
        if not fate.startswith("failed"):
            function.release(served.environment, self._loop.time())
        if served.beats is not None:
            served.beats.over = True
        self._accounts.billed(served)
        if not served.first:
            # Whoever asked may be answered twice, and has to put up with that.
            small = work.result is None and weight(outcome.values, outcome.segments) <= INLINE_BYTES
            if fate == "answered" and small:
                self._over(work, fate, outcome)
                work.door.on_duplicate(work, outcome)
            return
        self._over(work, fate, outcome)
        if fate == "answered":
            work.door.on_answer(work, outcome)
        elif fate == "lost" and self._losses.random() < self.profile.lost_silently:
            self.agenda.after(self.profile.silence, work.door.on_trouble, work, "lost")
        else:
            work.door.on_trouble(work, fate)

    def _over(self, work: Work, fate: str, outcome: Outcome | None = None) -> None:
        """Know that an invocation is answered, one way or another; only the first time counts."""
        if work.answered:
            return
        if outcome is not None and fate == "answered":
            self._accounts.answered(work, outcome)
        work.answered = True
        self._accounts.over(work, fate)

    async def rest(self) -> None:
        """Wait until nothing is under way any more."""
        while self.agenda or self._tasks:
            self._resting = asyncio.Event()
            await self._resting.wait()

    def _check_rest(self) -> None:
        if self._resting is not None and not (self.agenda or self._tasks):
            self._resting.set()
