"""Runs a scenario and looks at everything that must hold, whatever the seed."""

import asyncio
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import asyncfabric as af
from asyncfabric._run import Run
from asyncfabric.reporting import Event, InvocationLaunched
from asyncfabric.testing import SimulatedCloud
from asyncfabric.testing._simulated._backend import SimulatedBackend

from . import laws
from .scenarios import FleetingError, Job, Scenario, UserError, scenario, work, work_async

FOR_EVER = 1e6
"""Simulated seconds that no scenario takes."""


class Audit:
    """One seed's run.

    Attributes:
        seed: what it all is drawn from.
        scenario: the program and its cloud, as drawn.
        cloud: where it ran.
        events: what the driver told, each with the place of its Fabric.
        fan_outs: of each job that the driver took on, by its number: its inputs in order.
        stopped: when the driver was told, or knew, that a call is to be launched no more.
        revived: when a fan-out was taken up again.
    """

    def __init__(self, seed: int, day: str | None = None) -> None:
        self.scenario: Scenario = scenario(seed, day)
        self.seed = seed
        self.cloud = SimulatedCloud(seed, self.scenario.profile, history=True, record=True)
        self.events: list[tuple[int, Event]] = []
        self.fan_outs: dict[int, list[Any]] = {}
        self.stopped: dict[tuple[int, int], float] = {}
        self.revived: dict[int, float] = {}
        self._runs: dict[Run, int] = {}
        self._trouble: list[dict[str, Any]] = []
        self._calls: list[af.Call[Any]] = []
        self._fabrics: list[af.Fabric] = []

    def run(self) -> None:
        """Run the scenario; raise an AssertionError that says what doesn't hold."""
        self.cloud.run(self._main)
        assert not self._trouble, self._trouble
        laws.check(self)

    @property
    def closed(self) -> bool:
        """A Fabric was closed under its users."""
        return self.scenario.close_at is not None and self._is_closed(self._fabrics[0])

    # -- the program ----------------------------------------------------------------------------

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._trouble.append(context))
        given, cloud = self.scenario, self.cloud
        for when, limit in given.cuts:
            loop.call_later(when, setattr, cloud, "concurrency", limit)
        async with asyncio.timeout(FOR_EVER):
            for place, own in enumerate(given.fabrics):
                fabric = cloud.fabric(
                    max_concurrency=given.max_concurrency,
                    limit=given.limit,
                    retry=given.retry,
                    hedge=given.hedge,
                    idempotent=given.idempotent,
                    heartbeats=given.heartbeats,
                    **own,
                )
                self._fabrics.append(fabric)
                fabric._core.observers.append(partial(self._observe, place))
            if given.close_at is not None:
                loop.call_later(given.close_at, self._close_now)
            try:
                await asyncio.gather(*(self._use(job) for job in given.jobs))
                for fabric in self._fabrics:
                    if not self._is_closed(fabric):
                        await self._check_room(fabric)
            finally:
                for fabric in self._fabrics:
                    await fabric.aclose()
            assert all(call.done() for call in self._calls)
        self._number_all()
        self._runs.clear()
        await self._check_nothing_is_left(loop)

    def _close_now(self) -> None:
        self._closing = asyncio.ensure_future(self._fabrics[0].aclose())

    def _is_closed(self, fabric: af.Fabric) -> bool:
        return fabric._core.closed

    def _observe(self, place: int, event: Event) -> None:
        self.events.append((place, event))
        core, most = self._fabrics[place]._core, self.scenario.max_concurrency
        if core.closed:
            return
        assert 0 <= core.bind().in_flight <= most
        if isinstance(event, InvocationLaunched):
            assert isinstance(core.backend, SimulatedBackend)
            # The event comes just before the backend is told.
            assert len(core.backend._held) < most

    async def _use(self, job: Job) -> None:
        await asyncio.sleep(job.delay)
        fabric = self._fabrics[job.fabric]
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
            if not self._is_closed(fabric):
                raise

    @property
    def _throttles(self) -> bool:
        profile = self.scenario.profile
        return bool(profile.throttles or self.cloud.ledger.total.throttled)

    def _map(self, fabric: af.Fabric, job: Job, **options: Any) -> af.Map[tuple[int, bytes]]:
        chunksize: int | Literal["auto"] = "auto" if job.chunksize is None else job.chunksize
        function = work_async if job.coroutine else work
        if job.weight != 1.0:
            fabric = fabric.with_options(weight=job.weight)
        start: Any = fabric.map  # overloaded: by the options that come as a mapping here
        mapped: af.Map[tuple[int, bytes]] = start(
            function, job.inputs, chunksize=chunksize, **options
        )
        return mapped

    async def _use_map(self, fabric: af.Fabric, job: Job) -> None:
        mapped = self._map(fabric, job)
        try:
            assert await mapped == job.expected
            assert not job.fails
            assert mapped.stats.finished == mapped.stats.read == len(job.inputs)
        finally:
            self._check_halves(mapped, job)
            self._ended(mapped, job)

    def _check_halves(self, mapped: af.Map[Any], job: Job) -> None:
        """See that what is finished and what failed is so by right, and nothing is both."""
        finished, failed = mapped.finished(), mapped.failed()
        assert not finished.keys() & failed.keys()
        assert all(value == job.expected[index] for index, value in finished.items())
        assert all(job.inputs[index].raises != "always" for index in finished)
        for index, error in failed.items():
            if isinstance(error, UserError):
                assert job.inputs[index].raises == "always"

    async def _use_stream(self, fabric: af.Fabric, job: Job, *, ordered: bool = True) -> None:
        seen: list[tuple[int, bytes]] = []
        mapped = self._map(fabric, job, ordered=ordered)
        try:
            async with mapped as results:
                if job.take != 0:
                    async for result in results:
                        seen.append(result)
                        if len(seen) == job.take:
                            break
        finally:
            if ordered:
                assert seen == job.expected[: len(seen)]
            else:
                assert not Counter(seen) - Counter(job.expected)
            self._ended(mapped, job)
        assert self._is_closed(fabric) or job.take is not None or len(seen) == len(job.inputs)

    async def _use_unordered(self, fabric: af.Fabric, job: Job) -> None:
        await self._use_stream(fabric, job, ordered=False)

    async def _use_as_completed(self, fabric: af.Fabric, job: Job) -> None:
        seen = Counter[int]()
        mapped = self._map(fabric, job)
        try:
            async for call in af.as_completed(mapped):
                self._check_call(call, job)
                seen[call.index] += 1
                if seen.total() == job.take:
                    await mapped.aclose()
                    break
        finally:
            assert set(seen.values()) <= {1}
            if self.is_over(mapped):
                self._ended(mapped, job)
        assert self._is_closed(fabric) or job.take is not None or seen.total() == len(job.inputs)

    @staticmethod
    def is_over(mapped: af.Map[Any]) -> bool:
        return mapped._run is None or mapped._run.over

    def _check_call(self, call: af.Call[Any], job: Job) -> None:
        assert call.done()
        assert call.input == job.inputs[call.index]
        assert len(call.attempts) <= self.scenario.retry.attempts
        error = call.exception()
        if error is None:
            assert call.result() == job.expected[call.index]
            assert job.inputs[call.index].raises != "always"
        elif isinstance(error, UserError):
            assert job.inputs[call.index].raises == "always"

    async def _use_submit(self, fabric: af.Fabric, job: Job) -> None:
        function: Any = work_async if job.coroutine else work
        calls: list[af.Call[Any]] = []
        for each in job.inputs:
            call: Any = fabric.submit(function, each)
            run: Run = call._owner
            self._runs.setdefault(run, len(self._runs))
            self._inputs_of(run).append(each)
            assert call.index == len(self._inputs_of(run)) - 1
            calls.append(call)
        self._calls += calls
        try:
            if job.take is not None:
                for call in calls[job.take :]:
                    self._cancel(call)
            if job.cancel_at is not None:
                share, seconds = job.cancel_at
                while (late := [call for call in calls if not call.done()]) and (
                    len(late) > (1 - share) * len(calls)
                ):
                    await asyncio.wait(late, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.wait(calls, timeout=seconds)
                for call in [call for call in calls if not call.done()][::2]:
                    self._cancel(call)
            await asyncio.gather(*calls, return_exceptions=True)
        finally:
            for call in calls:
                self._cancel(call)  # those that nobody waits for any more
                assert call.done()
                self._stop(call)
        for call, given, expected in zip(calls, job.inputs, job.expected, strict=True):
            if not call.cancelled() and call.exception() is None:
                assert call.result() == expected
                assert given.raises != "always"
                assert len(call.attempts) <= self.scenario.retry.attempts

    async def _use_errors(self, fabric: af.Fabric, job: Job) -> None:
        mapped = self._map(fabric, job, return_exceptions=True)
        try:
            results: list[Any] = await mapped
        finally:
            self._ended(mapped, job)
        assert len(results) == len(job.inputs)
        for given, expected, result in zip(job.inputs, job.expected, results, strict=True):
            assert isinstance(result, Exception) or result == expected
            assert given.raises != "always" or isinstance(result, Exception)

    async def _use_retry(self, fabric: af.Fabric, job: Job) -> None:
        """Stop a map somewhere, and take it up again until nothing is left."""
        mapped = self._map(fabric, job)
        try:
            with suppress(
                TimeoutError, UserError, FleetingError, af.InvocationError, af.StorageError
            ):
                async with asyncio.timeout(2.0):
                    assert await mapped == job.expected
                    return
            if self._is_closed(fabric):
                return
            self._check_halves(mapped, job)
            known = mapped.finished()
            if mapped._run is not None:
                self._runs.setdefault(mapped._run, len(self._runs))
                self.revived[self._runs[mapped._run]] = asyncio.get_running_loop().time()
            results = await mapped.retry()
            assert results == job.expected
            assert all(results[index] == value for index, value in known.items())
        finally:
            self._check_halves(mapped, job)
            self._ended(mapped, job)

    # -- what is noted for the laws ---------------------------------------------------------------

    def _inputs_of(self, run: Run) -> list[Any]:
        return self.fan_outs.setdefault(self._runs.setdefault(run, len(self._runs)), [])

    def _cancel(self, call: af.Call[Any]) -> None:
        if call.cancel():
            self._stop(call)
            owner: Any = call._owner
            assert owner.over or owner.fan_out.flights.find(call.index) is None

    def _stop(self, call: af.Call[Any]) -> None:
        owner: Any = call._owner
        now = asyncio.get_running_loop().time()
        self.stopped.setdefault((self._runs[owner], call.index), now)

    def _ended(self, mapped: af.Map[Any], job: Job) -> None:
        run = mapped._run
        if run is not None:
            assert run.over
            number = self._runs.setdefault(run, len(self._runs))
            self.fan_outs[number] = [*job.inputs]
            now = asyncio.get_running_loop().time()
            for index in range(len(job.inputs)):
                self.stopped[number, index] = now

    def _number_all(self) -> None:
        """Give what was noted the numbers that the cloud gave."""
        names = {own: self.cloud._jobs.get(run.plan.job) for run, own in self._runs.items()}
        self.fan_outs = {n: each for own, each in self.fan_outs.items() if (n := names[own])}
        self.stopped = {
            (n, index): now for (own, index), now in self.stopped.items() if (n := names[own])
        }
        self.revived = {n: now for own, now in self.revived.items() if (n := names[own])}

    # -- what must be left ------------------------------------------------------------------------

    async def _check_room(self, fabric: af.Fabric) -> None:
        """See that every slot comes back, when all that can't be stopped has ended."""
        service, backend = self.cloud._service, fabric._core.backend
        assert service is not None
        assert isinstance(backend, SimulatedBackend)
        await service.rest()
        await asyncio.gather(*backend._tasks)
        await service.rest()
        if self._is_closed(fabric):
            return
        dispatcher = fabric._core.bind()
        assert dispatcher.in_flight == 0, dispatcher.in_flight
        assert not dispatcher._flights
        assert not dispatcher._work
        assert not backend._held
        # Submitted calls share fan-outs that stay; nothing is left in them, and no other is.
        for run in dispatcher.runs:
            assert run in self._runs
            assert run.at_rest
            assert not (run.fan_out.in_flight)
            assert not (run.fan_out.flights)
            assert not (run.fan_out._copies)
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
