"""The simulated Lambda: who may run, in which environment, for how long, and what goes wrong.

The user's functions are run for real, by the runtime, at the moment an environment is ready; what
takes simulated time is what they say by `spend`. Their answer leaves when that time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from typing import TYPE_CHECKING, Any

from asyncfabric.testing._admission import CONCURRENCY, RESERVED_CONCURRENCY
from asyncfabric_runtime._invocation import Invocation
from asyncfabric_runtime._outcome import Phases
from asyncfabric_storage import StorageError

from ._agenda import Agenda
from ._ledger import AttemptRecord, Ledger
from ._meter import Meter
from ._work import INLINE_BYTES, weight

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from asyncfabric_runtime import Outcome
    from asyncfabric_storage import ObjectStore

    from ._chances import Chances
    from ._function import Environment, SimulatedFunction
    from ._history import History
    from ._meter import Mark
    from ._profile import Profile
    from ._work import Work

FUNCTION_SECONDS = 898.0
"""Lambda's longest timeout, less what a worker leaves for its answer."""
_MILLISECOND = 1e-3


class Service:
    """The invocations of one simulated account."""

    def __init__(
        self,
        profile: Profile,
        chances: Chances,
        ledger: Ledger,
        store: ObjectStore,
        loop: asyncio.AbstractEventLoop,
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
        self._ledger = ledger
        self._store = store
        self._history = history
        self._record = record
        self._loop = loop
        self._tasks: set[asyncio.Task[None]] = set()
        self._resting: asyncio.Event | None = None
        self._under_way: dict[tuple[int, int], list[int]] = {}
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
        function = work.function.ledger
        function.invocations += 1
        if self._ledger.first is None:
            self._ledger.first = self._loop.time()
        under_way, job, most = self._under_way, work.job, self._ledger.most_copies
        for index in work.envelope.indices:
            entry = under_way.get((job, index))
            if entry is None:
                entry = under_way[job, index] = [0, 0]
            else:
                work.copies += 1
            entry[0] += 1
            most = max(most, entry[0])
        self._ledger.most_copies = most
        if self._history is not None:
            self._note(f"launch {work.name} attempt {work.envelope.attempt(0)}")
        self.agenda.after(self.profile.overhead.draw(self._overheads), self._arrive, work)

    def _arrive(self, work: Work) -> None:
        profile, function = self.profile, work.function
        environment: Environment | None = None
        reason = CONCURRENCY
        if profile.throttles and self._throttles.random() < profile.throttles:
            pass
        elif function.reserved is not None and function.running >= function.reserved:
            reason = RESERVED_CONCURRENCY
        elif function.reserved is not None or self.unreserved > 0:
            environment = function.environment(self._loop.time())
        if environment is None:
            function.ledger.throttled += 1
            self._over(work, "throttled " + reason)
            work.door.on_trouble(work, "throttled " + reason)
            return
        duplicate = profile.duplicates > 0 and self._duplicates.random() < profile.duplicates
        self._serve(work, environment, first=True)
        if duplicate and function.reserved is None and self.unreserved > 0:
            other = function.environment(self._loop.time())
            if other is not None:
                function.ledger.duplicates += 1
                self._serve(work, other, first=False)

    def _serve(self, work: Work, environment: Environment, *, first: bool) -> None:
        function = work.function
        self.running += 1
        self.peak = max(self.peak, self.running)
        function.running += 1
        if function.reserved is not None:
            self._running_reserved += 1
        function.ledger.served += 1
        if first:
            function.ledger.copies += work.copies
        cold = environment.process.invocations == 0
        start = self.profile.cold_start.draw(self._colds) if cold else 0.0
        factor = 1.0
        if self.profile.slow and self._slows.random() < self.profile.slow:
            factor = self.profile.slowness.draw(self._slownesses)
        served = _Served(work, environment, factor, start, first=first)
        if self._history is not None:
            what = "serve" if first else "duplicate"
            self._note(f"{what} {work.name} on environment {environment.number} x {factor!r}")
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

    def _run(self, served: _Served) -> None:
        envelope = served.work.envelope
        profile, plan = self.profile, envelope.plan
        served.began = self._loop.time()
        meter = Meter(served.slow, profile.noise, self._noises, plan.timeout, FUNCTION_SECONDS)
        invocation = Invocation(envelope, served.environment.process)
        invocation.limit = meter
        invocation.on_progress = meter.mark
        if first := served.first:
            served.work.worker = f"environment {served.environment.number}"
        if (
            plan.is_async
            or plan.by_reference
            or (first and served.work.key is not None)
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

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._check_rest()

    async def _run_here(self, served: _Served, invocation: Invocation, meter: Meter) -> None:
        outcomes: list[Outcome] = []
        began = self._loop.time()
        if served.work.key is not None:
            with contextlib.suppress(StorageError):  # it has been deleted, since nobody waits
                await self._store.get(served.work.key)
        await invocation.run_here(outcomes.append, stream=False)
        if invocation.plan.env:
            served.environment.process.enter_environment(None)
        await self._store_answer(served, outcomes[-1], meter, self._loop.time() - began)

    async def _store_answer(
        self, served: _Served, outcome: Outcome, meter: Meter, waited: float
    ) -> None:
        """Put an answer into the store if it is too large to be carried."""
        work, size = served.work, weight(outcome.values, outcome.segments)
        if size > INLINE_BYTES and served.first:
            began = self._loop.time()
            key = f"spill/{work.job}/{work.envelope.flight}.answer"
            try:
                await self._store.put(key, bytes(size))
            except StorageError:
                served.fate = "failed worker"
            work.result = key
            waited += self._loop.time() - began
        self._ran(served, outcome, meter, waited)

    def _ran(self, served: _Served, outcome: Outcome, meter: Meter, waited: float) -> None:
        profile, agenda, work = self.profile, self.agenda, served.work
        seconds, total = meter.seconds, meter.total
        served.calls = len(outcome.positions) + len(outcome.failures)
        if work.envelope.plan.is_async:
            run = [waited + seconds.get(position, 0.0) for position in outcome.positions]
            outcome.phases = Phases()
        else:
            run = [seconds.get(position, 0.0) for position in outcome.positions]
            outcome.phases = Phases(fetch=waited)
        outcome.run = array("d", run)
        outcome.busy = total
        outcome.peak_memory = 0
        if served.fate != "answered":
            pass
        elif profile.failures and self._failures.random() < profile.failures:
            total *= self._points.random()
            served.fate = "failed " + self._points.choice(("service", "worker"))
        elif profile.lost and self._losses.random() < profile.lost:
            served.fate = "lost"
        if served.first:
            for mark in meter.marks:
                if mark.seconds < total:
                    delay = mark.seconds + profile.heartbeat.draw(self._heartbeats)
                    agenda.after(delay, self._beat, work, mark)
        agenda.after(total, self._end, served, outcome)

    def _beat(self, work: Work, mark: Mark) -> None:
        if not work.answered:
            work.door.on_mark(work, mark)

    # -- ending ---------------------------------------------------------------------------------

    def _end(self, served: _Served, outcome: Outcome) -> None:
        work, function, now = served.work, served.work.function, self._loop.time()
        fate = served.fate
        self.running -= 1
        function.running -= 1
        if function.reserved is not None:
            self._running_reserved -= 1
        if not fate.startswith("failed"):
            function.release(served.environment, now)
        self._bill(served, now)
        if not served.first:
            return
        if fate == "answered":
            self._count(work, outcome, now)
        self._over(work, fate)
        if fate == "answered":
            work.door.on_answer(work, outcome)
        elif fate == "lost" and self._losses.random() < self.profile.lost_silently:
            self.agenda.after(self.profile.silence, work.door.on_trouble, work, "lost")
        else:
            work.door.on_trouble(work, fate)

    def _bill(self, served: _Served, now: float) -> None:
        work, ledger = served.work, served.work.function.ledger
        billed = -(-(now - served.began + served.start) // _MILLISECOND) * _MILLISECOND
        ledger.billed_seconds += billed
        ledger.gigabyte_seconds += billed * work.function.memory / 1024
        ledger.attempts += served.calls
        fate = served.fate if served.first else "duplicate"
        if fate.startswith("failed"):
            ledger.failed += 1
        elif fate == "lost":
            ledger.lost += 1
        if self._record:
            self._ledger.records.append(
                AttemptRecord(
                    function=work.function.name,
                    job=work.job,
                    indices=tuple(work.envelope.indices),
                    calls=served.calls,
                    copies=work.copies if served.first else 0,
                    began=served.began,
                    ended=now,
                    billed=billed,
                    outcome=fate,
                    slow=served.slow,
                    cold=served.start > 0,
                )
            )

    def _count(self, work: Work, outcome: Outcome, now: float) -> None:
        """Write down the calls that are answered for the first time."""
        ledger, indices, job = self._ledger, work.envelope.indices, work.job
        ledger.failures += len(outcome.failures)
        for position in outcome.positions:
            entry = self._under_way[job, indices[position]]
            if not entry[1]:
                entry[1] = 1
                ledger.completed.append(now)
                ledger.last = now

    def _over(self, work: Work, fate: str) -> None:
        """Know that an invocation is not under way any more."""
        work.answered = True
        under_way, job = self._under_way, work.job
        for index in work.envelope.indices:
            entry = under_way[job, index]
            entry[0] -= 1
            if not entry[0]:
                del under_way[job, index]
        if self._history is not None:
            self._note(f"{fate} {work.name}")

    def _note(self, text: str) -> None:
        assert self._history is not None  # noqa: S101 - asked before
        self._history.lines.append(f"{self._loop.time()!r} {text}")

    async def rest(self) -> None:
        """Wait until nothing is under way any more."""
        while self.agenda or self._tasks:
            self._resting = asyncio.Event()
            await self._resting.wait()

    def _check_rest(self) -> None:
        if self._resting is not None and not (self.agenda or self._tasks):
            self._resting.set()


class _Served:
    """An invocation in an environment."""

    __slots__ = ("began", "calls", "environment", "fate", "first", "slow", "start", "work")

    def __init__(
        self, work: Work, environment: Environment, slow: float, start: float, *, first: bool
    ) -> None:
        self.work = work
        self.environment = environment
        self.slow = slow
        self.start = start
        self.first = first
        self.began = 0.0
        self.calls = 0
        self.fate = "answered"
