"""Durable jobs under random programs that die, on random clouds: one seed's run."""

import asyncio
import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest import mock

import asyncfabric as af
from asyncfabric.jobs._keys import MasterKey
from asyncfabric.testing import SimulatedCloud
from asyncfabric_storage import ObjectStore
from tests.chaos import audit
from tests.chaos.program import NAME

from .mortal import Mortal
from .scenarios import Input, Scenario, UserError, scenario, work

KEY = "5e" * 32
_MOST_RUNS = 60
FOR_EVER = 1e7
"""Simulated seconds that no scenario takes."""


@dataclass(frozen=True, slots=True)
class Life:
    """A driver's.

    Attributes:
        begins: seconds after the former one has begun; None: when that one is over.
        seconds: it is killed after so many, unless it is over by then; None: it isn't.
        request: it is killed before or after this request to the store.
        shape: how it uses the job.
    """

    begins: float | None
    seconds: float | None
    request: int | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn for one seed."""

    weather: Scenario
    inputs: list[Input]
    shape: str
    lives: list[Life]
    attaches: bool


def plan_of(seed: int, day: str | None = None) -> Plan:
    """Draw a job, and the drivers that are killed over it."""
    chance = Random(f"durable:{seed}")
    weather = scenario(seed, day)
    scale = chance.choice((0.0, 0.3, 2.0, 10.0))
    shape = chance.choice(("map", "map", "stream", "errors", "as_completed", "generator"))
    errors = chance.choice((0.0, 0.2)) if shape in {"errors", "as_completed"} else 0.0
    count = chance.choice((0, 1, 3, 10, 30))
    if chance.random() < 0.02:
        count = 300  # more than a segment of digests
    inputs = [
        Input(
            index=index,
            seconds=scale * chance.lognormvariate(0, 0.5),
            steps=chance.choice((1, 1, 4)),
            raises="always" if chance.random() < errors else "",
            answer=300_000 if chance.random() < 0.03 else 0,
        )
        for index in range(count)
    ]
    lives = [_life(chance, scale) for _ in range(chance.choice((0, 1, 1, 2, 2, 5)))]
    return Plan(weather, inputs, shape, lives, chance.random() < 0.2)


def _life(chance: Random, scale: float) -> Life:
    by_request = chance.random() < 0.6
    return Life(
        begins=chance.uniform(0, 3 * scale + 1) if chance.random() < 0.3 else None,
        seconds=None if by_request else chance.uniform(0, 5 * scale + 2),
        request=chance.randint(1, 40) if by_request else None,
    )


class Durable:
    """One seed's run.

    Attributes:
        seed: what all is drawn from.
        plan: as drawn.
        cloud: where it ran.
        story: what became of each driver.
    """

    def __init__(self, seed: int, day: str | None = None) -> None:
        self.seed = seed
        self.plan = plan_of(seed, day)
        profile = self.plan.weather.profile
        # Where nearly nothing comes through, no job is ever finished.
        profile = profile.but(
            requests_per_environment=max(1.0, profile.requests_per_environment),
            failures=min(0.3, profile.failures),
        )
        self.cloud = SimulatedCloud(seed, profile, history=True, record=True)
        self.story: list[str] = []
        self._chance = Random(f"durable deaths:{seed}")
        self._told: dict[int, Any] = {}
        self._drivers: list[Mortal] = []
        self._burials: list[asyncio.Task[None]] = []
        self._committed: dict[str, float] = {}
        self._leased = asyncio.Event()
        self._trouble: list[dict[str, Any]] = []
        self._spoilt: list[str] = []
        self._spy(self.cloud.store)

    def run(self) -> None:
        """Run it; raise an AssertionError that says what doesn't hold, and how it came about."""
        urandom = Random(f"names:{self.seed}").randbytes  # names in the store, the same each time
        try:
            with (
                mock.patch.dict(os.environ, {"ASYNCFABRIC_KEY": KEY}),
                mock.patch("os.urandom", urandom),
            ):
                self.cloud.run(self._main)
            assert not self._trouble, self._trouble
        except BaseException as error:
            for line in self.report():
                error.add_note(line)
            raise

    def report(self) -> list[str]:
        """Tell what happened, and what is in the store."""
        there = [f"{key}  {len(data)} bytes" for key, data in self.objects().items()]
        plan = self.plan
        head = f"{len(plan.inputs)} inputs, {plan.shape}, {plan.weather.profile}"
        return [head, *map(str, plan.lives), *self.story, "the store:", *there]

    def objects(self) -> dict[str, bytes]:
        """Return what is in the store."""
        objects = vars(self.cloud.store)["_objects"]
        return {key: data for key, (data, _) in sorted(objects.items())}

    def _spy(self, store: Any) -> None:
        """See what is written, when, and that nothing of a job is ever written anew."""
        write, remove = store._write, store._remove

        def noted_write(key: str, body: bytes, mark: object) -> None:
            now = asyncio.get_running_loop().time()
            _, _, place = key.removeprefix("jobs/").partition("/")
            if key in store._objects and not place.startswith(("data/", "code/")):
                self._spoilt.append(f"{key} was written again")
            if place.startswith("done/"):
                self._committed[key] = now
            if place.startswith("lease/"):
                self._leased.set()
            write(key, body, mark)

        def noted_remove(key: str) -> None:
            if "/done/" in key or "/names/" in key or "/inputs/" in key:
                self._spoilt.append(f"{key} was deleted")
            remove(key)

        store._write, store._remove = noted_write, noted_remove

    # -- the programs ---------------------------------------------------------------------------

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._trouble.append(context))
        async with asyncio.timeout(FOR_EVER):
            attached = loop.create_task(self._attach()) if self.plan.attaches else None
            running: list[asyncio.Task[bool]] = []
            for life in self.plan.lives:
                if life.begins is not None:
                    await asyncio.sleep(life.begins)
                elif running:
                    await asyncio.wait(running)
                running.append(loop.create_task(self._live(life)))
            if running:
                await asyncio.wait(running)
                for each in running:
                    each.result()
            for _ in range(_MOST_RUNS):
                if await self._live(Life(None, None, None)):
                    break
            else:
                raise AssertionError("it is never finished")
            if attached is not None:
                await attached
            # Once more, now that all is done.
            assert await self._live(Life(None, None, None)), "a finished job can't be run again"
            assert not self._drivers[-1].launched, "a finished job launched calls"
            await asyncio.gather(*self._burials)
            await self._check_nothing_is_left(loop)
            await self._check_end()
        self._check_executions()

    async def _live(self, life: Life) -> bool:
        """Be a driver for its life; tell whether it came to its end."""
        loop, given, store = asyncio.get_running_loop(), self.plan.weather, self.cloud.store
        fabric = self.cloud.fabric(
            max_concurrency=given.max_concurrency,
            limit=given.limit,
            hedge=given.hedge,
            heartbeats=given.heartbeats,
        )
        driver = Mortal(fabric, store, self._chance, life.request)
        self._drivers.append(driver)
        number = len(self._drivers)
        driver.program = loop.create_task(self._drive(driver))
        if life.seconds is not None:
            loop.call_later(life.seconds, driver.die)
        end = "finished"
        try:
            await driver.program
        except asyncio.CancelledError:
            end = "died"
        except (af.jobs.TakenOver, af.InvocationError, af.StorageError, af.Throttled) as error:
            end = f"died, {error!r}" if driver.died is not None else repr(error)
        self.story.append(f"driver {number} at {loop.time():.3f}: {end}")
        if driver.died is None:
            await driver.bury()
        else:
            self._burials.append(loop.create_task(driver.bury()))
        return end == "finished"

    async def _drive(self, driver: Mortal) -> None:
        plan, fabric = self.plan, driver.fabric
        inputs: Any = plan.inputs if plan.shape != "generator" else _endless(plan.inputs)
        errors = plan.shape == "errors"
        start: Any = fabric.map  # overloaded: by options that are drawn here
        mapped: Any = start(
            work, inputs, job=NAME, version="1", return_exceptions=errors, chunksize=1
        )
        async with contextlib.aclosing(mapped):
            if plan.shape == "as_completed":
                seen = Counter[int]()
                async for call in af.as_completed(mapped):
                    self._tell(driver, call.index, call.exception() or call.result())
                    seen[call.index] += 1
                assert seen == Counter(range(len(plan.inputs))), seen
                return
            results: list[Any]
            if plan.shape == "map":
                results = await mapped
            else:
                results = [each async for each in mapped]
        assert len(results) == len(plan.inputs), f"{len(results)} results"
        for index, result in enumerate(results):
            self._tell(driver, index, result)

    def _tell(self, driver: Mortal | None, index: int, result: Any) -> None:
        """See that what somebody is told is what everybody was told, and right."""
        if driver is not None and driver.died is not None:
            return
        given = self.plan.inputs[index]
        if isinstance(result, BaseException):
            own = given.raises == "always" and isinstance(result, UserError)
            assert own or isinstance(result, af.FabricError), repr(result)
            result = (type(result).__name__, str(result))
        else:
            assert result == (given.index, bytes(given.answer)), f"{index}: {result!r:.80}"
        known = self._told.setdefault(index, result)
        assert known == result, f"{index} was {known!r:.80} and is {result!r:.80}"

    async def _attach(self) -> None:
        """Follow the job, from its first lease on."""
        await self._leased.wait()
        attached = af.jobs.attach(self.cloud.store, NAME, return_exceptions=True, patience=FOR_EVER)
        index = 0
        with contextlib.suppress(af.StorageError):
            async for result in attached:
                self._tell(None, index, result)
                index += 1
            assert index == len(self.plan.inputs)

    # -- what must hold -------------------------------------------------------------------------

    def _check_executions(self) -> None:
        """See that no driver had a call run that was done before it took the job over."""
        assert not self._spoilt, self._spoilt
        done = {int(key.rpartition("/")[2]): when for key, when in self._committed.items()}
        for number, driver in enumerate(self._drivers, 1):
            began = driver.store.leased
            for when, index in driver.launched:
                assert began is not None, f"driver {number} launched calls without a lease"
                assert done.get(index, FOR_EVER) > began, (
                    f"call {index} was done at {done[index]:.3f}, and driver {number}, who took "
                    f"over at {began:.3f}, had it run at {when:.3f}"
                )

    async def _check_end(self) -> None:
        fails = {index for index, result in self._told.items() if isinstance(result[0], str)}
        await audit.check_end(
            _calm(self.cloud), MasterKey(bytes.fromhex(KEY)), len(self.plan.inputs), fails
        )

    async def _check_nothing_is_left(self, loop: asyncio.AbstractEventLoop) -> None:
        service = self.cloud._service
        assert service is not None
        await service.rest()
        for _ in range(3):
            await asyncio.sleep(0)  # what was cancelled comes to its end
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        assert not tasks, tasks


def _calm(cloud: SimulatedCloud) -> ObjectStore:
    """Let nothing befall whoever looks at the store in the end."""
    bucket: Any = vars(cloud.store)["_bucket"]
    bucket._profile = bucket._profile.but(stalls=0, lost=0, conflicts=0, errors=0)
    return cloud.store


async def _endless(inputs: list[Input]) -> Any:
    for each in inputs:
        yield each
