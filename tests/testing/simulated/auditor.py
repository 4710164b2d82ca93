"""Runs a scenario and looks at everything that must hold, whatever the seed."""

import asyncio
import re
from collections import Counter
from contextlib import suppress
from typing import Any, Literal

import asyncfabric as af
from asyncfabric.reporting import CallsAnswered, Event, InvocationLaunched
from asyncfabric.testing import SimulatedCloud
from asyncfabric.testing._simulated._backend import SimulatedBackend

from .scenarios import FleetingError, Job, Scenario, UserError, scenario, work, work_async

FOR_EVER = 1e6
"""Simulated seconds that no scenario takes."""


class Audit:
    """One seed's run.

    Attributes:
        seed: what it all is drawn from.
        cloud: where it ran.
    """

    def __init__(self, seed: int) -> None:
        self.scenario: Scenario = scenario(seed)
        self.seed = seed
        self.cloud = SimulatedCloud(seed, self.scenario.profile, history=True, record=True)
        self._events: list[Event] = []
        self._trouble: list[dict[str, Any]] = []
        self._calls: list[af.Call[Any]] = []
        self._fabric: af.Fabric | None = None

    def run(self) -> None:
        """Run the scenario; raise an AssertionError that says what doesn't hold."""
        self.cloud.run(self._main)
        assert not self._trouble, self._trouble
        self._check_ledger()
        self._check_events()

    # -- the program ----------------------------------------------------------------------------

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._trouble.append(context))
        given, cloud = self.scenario, self.cloud
        for when, limit in given.cuts:
            loop.call_later(when, setattr, cloud, "concurrency", limit)
        async with asyncio.timeout(FOR_EVER):
            fabric = cloud.fabric(
                max_concurrency=given.max_concurrency,
                retry=given.retry,
                hedge=given.hedge,
                idempotent=given.idempotent,
            )
            self._fabric = fabric
            fabric._core.observers.append(self._observe)
            if given.close_at is not None:
                loop.call_later(given.close_at, self._close_now)
            async with fabric:
                await asyncio.gather(*(self._use(fabric, job) for job in given.jobs))
                if not self._closed:
                    await self._check_room(fabric)
            assert all(call.done() for call in self._calls)
        await self._check_nothing_is_left(loop)

    def _close_now(self) -> None:
        assert self._fabric is not None
        self._closing = asyncio.ensure_future(self._fabric.aclose())

    @property
    def _closed(self) -> bool:
        assert self._fabric is not None
        return self._fabric._core.closed

    def _observe(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, InvocationLaunched):
            assert self._fabric is not None
            backend = self._fabric._core.backend
            assert isinstance(backend, SimulatedBackend)
            # The event comes just before the backend is told.
            assert len(backend._held) < self.scenario.max_concurrency

    async def _use(self, fabric: af.Fabric, job: Job) -> None:
        await asyncio.sleep(job.delay)
        try:
            async with asyncio.timeout(job.give_up):
                await getattr(self, f"_use_{job.shape}")(fabric, job)
        except af.AttemptTimeout:
            assert self.scenario.profile.slow
        except TimeoutError:
            assert job.give_up is not None
        except UserError:
            assert job.fails
        except FleetingError:
            assert self.scenario.retry.attempts == 1 or not self.scenario.idempotent
        except af.Throttled:
            assert self._throttles
        except (af.InvocationError, af.StorageError):
            assert self.scenario.may_fail
        except (RuntimeError, asyncio.CancelledError):
            if self.scenario.close_at is None:
                raise

    @property
    def _throttles(self) -> bool:
        profile = self.scenario.profile
        return bool(profile.throttles or self.cloud.ledger.total.throttled)

    def _map(self, fabric: af.Fabric, job: Job, **options: Any) -> af.Map[tuple[int, bytes]]:
        chunksize: int | Literal["auto"] = "auto" if job.chunksize is None else job.chunksize
        function = work_async if job.coroutine else work
        start: Any = fabric.map  # overloaded: by the options that come as a mapping here
        mapped: af.Map[tuple[int, bytes]] = start(
            function, job.inputs, chunksize=chunksize, **options
        )
        return mapped

    async def _use_map(self, fabric: af.Fabric, job: Job) -> None:
        assert await self._map(fabric, job) == job.expected
        assert not job.fails

    async def _use_stream(self, fabric: af.Fabric, job: Job, *, ordered: bool = True) -> None:
        seen: list[tuple[int, bytes]] = []
        async with self._map(fabric, job, ordered=ordered) as results:
            if job.take != 0:
                async for result in results:
                    seen.append(result)
                    if len(seen) == job.take:
                        break
        if ordered:
            assert seen == job.expected[: len(seen)]
        else:
            assert not Counter(seen) - Counter(job.expected)
        assert self._closed or job.take is not None or len(seen) == len(job.inputs)

    async def _use_unordered(self, fabric: af.Fabric, job: Job) -> None:
        await self._use_stream(fabric, job, ordered=False)

    async def _use_as_completed(self, fabric: af.Fabric, job: Job) -> None:
        seen = Counter[int]()
        async for call in af.as_completed(self._map(fabric, job)):
            self._check_call(call, job)
            seen[call.index] += 1
            if seen.total() == job.take:
                break
        assert set(seen.values()) <= {1}
        assert self._closed or job.take is not None or seen.total() == len(job.inputs)

    def _check_call(self, call: af.Call[Any], job: Job) -> None:
        assert call.done()
        assert call.input == job.inputs[call.index]
        assert len(call.attempts) <= self.scenario.retry.attempts
        error = call.exception()
        if error is None:
            assert call.result() == job.expected[call.index]
        elif isinstance(error, UserError):
            assert job.inputs[call.index].raises == "always"

    async def _use_submit(self, fabric: af.Fabric, job: Job) -> None:
        function: Any = work_async if job.coroutine else work
        calls: list[af.Call[Any]] = [fabric.submit(function, each) for each in job.inputs]
        self._calls += calls
        if job.take is not None:
            for call in calls[job.take :]:
                call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        for call, expected in zip(calls, job.expected, strict=True):
            if not call.cancelled() and call.exception() is None:
                assert call.result() == expected
                assert len(call.attempts) <= self.scenario.retry.attempts

    async def _use_errors(self, fabric: af.Fabric, job: Job) -> None:
        results: list[Any] = await self._map(fabric, job, return_exceptions=True)
        assert len(results) == len(job.inputs)
        for given, expected, result in zip(job.inputs, job.expected, results, strict=True):
            assert isinstance(result, Exception) or result == expected
            assert given.raises != "always" or isinstance(result, Exception)

    async def _use_retry(self, fabric: af.Fabric, job: Job) -> None:
        """Stop a map somewhere, and take it up again until nothing is left."""
        mapped = self._map(fabric, job)
        with suppress(TimeoutError, UserError, FleetingError, af.InvocationError, af.StorageError):
            async with asyncio.timeout(2.0):
                assert await mapped == job.expected
                return
        if self._closed:
            return
        known = mapped.finished()
        results = await mapped.retry()
        assert results == job.expected
        assert all(results[index] == value for index, value in known.items())

    # -- what must hold -------------------------------------------------------------------------

    async def _check_room(self, fabric: af.Fabric) -> None:
        """See that every slot comes back, when all that can't be stopped has ended."""
        service, backend = self.cloud._service, fabric._core.backend
        assert service is not None
        assert isinstance(backend, SimulatedBackend)
        await service.rest()
        await asyncio.gather(*backend._tasks)
        await service.rest()
        if self._closed:
            return
        dispatcher = fabric._core.bind()
        assert dispatcher.in_flight == 0, dispatcher.in_flight
        assert not dispatcher._flights
        assert not backend._held
        assert service.running == 0

    async def _check_nothing_is_left(self, loop: asyncio.AbstractEventLoop) -> None:
        service = self.cloud._service
        assert service is not None
        await service.rest()
        last = max((when for when, _ in self.scenario.cuts), default=0.0)
        await asyncio.sleep(max(0.0, last - loop.time(), (self.scenario.close_at or 0.0)))
        await asyncio.sleep(0)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks, tasks
        scheduled: list[asyncio.TimerHandle] = vars(loop)["_scheduled"]
        timers = [timer for timer in scheduled if not timer.cancelled()]
        assert not timers, timers

    def _check_ledger(self) -> None:
        ledger = self.cloud.ledger
        total, records = ledger.total, ledger.records
        fates = Counter(record.outcome.partition(" ")[0] for record in records)
        assert total.served == len(records)
        assert total.attempts == sum(record.calls for record in records)
        assert total.copies == sum(record.copies for record in records)
        assert total.failed == fates["failed"]
        assert total.lost == fates["lost"]
        assert total.duplicates == fates["duplicate"]
        assert total.invocations == total.throttled + total.served - total.duplicates
        assert total.cold_starts == sum(record.cold for record in records)
        assert abs(total.billed_seconds - sum(record.billed for record in records)) < 1e-6
        assert all(record.billed >= record.ended - record.began for record in records)
        assert list(ledger.completed) == sorted(ledger.completed)
        most = max(
            (int(n) for n in re.findall(r" attempt (\d+)", str(self.cloud.history))), default=0
        )
        assert most <= self.scenario.retry.attempts

    def _check_events(self) -> None:
        """See that the driver's own account is that of the cloud."""
        if self._closed and self.scenario.close_at is not None:
            return
        left = Counter[int]()
        for event in self._events:
            if isinstance(event, InvocationLaunched):
                left[event.flight] += event.calls
            elif isinstance(event, CallsAnswered):
                left[event.flight] -= event.finished + event.failed
            else:
                left[event.flight] -= event.calls
        assert not any(left.values()), {flight: n for flight, n in left.items() if n}
        launched = sum(isinstance(event, InvocationLaunched) for event in self._events)
        # An envelope that goes through the store may be taken back before it is invoked.
        stored = any(each.body for job in self.scenario.jobs for each in job.inputs)
        copies = sum(
            event.calls
            for event in self._events
            if isinstance(event, InvocationLaunched) and event.copy
        )
        if not any(job.shape == "retry" for job in self.scenario.jobs):
            # A map that is taken up again repeats calls whose first attempt still runs on Lambda.
            assert self.cloud.ledger.total.copies <= copies
            assert self.cloud.ledger.most_copies <= self.scenario.copies
        invoked = self.cloud.ledger.total.invocations
        assert invoked <= launched if stored else invoked == launched
