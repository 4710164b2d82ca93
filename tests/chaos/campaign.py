"""Trials in numbers: at every step, at every request, at random times."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from asyncfabric.testing import Faults, LambdaFront
from tests.cloud.fixtures import Bucket

from .blows import Assassin, Blow, Moment, Shot
from .nursery import Nursery
from .program import Shape
from .proxy import Phase, Proxy
from .steps import Deed, Fate, Role
from .trial import Place, Trial, Work, work_of

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
FILE = Place()
INLINE = Place(name="inline", backend="inline://")
"""Where driver and worker are one process, whose death is everybody's."""


@dataclass(frozen=True, slots=True)
class Known:
    """What an undisturbed program does.

    Attributes:
        output: its results.
        steps: of its driver and of its workers, on a local directory.
    """

    output: list[Any]
    steps: dict[Role, int]


_known: dict[tuple[Shape, str], Known] = {}


class Trials:
    """Makes trials, which know what an undisturbed program puts out.

    Args:
        nursery: where drivers come from.
        folder: an empty directory; each trial has one in it.
    """

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.folder = folder
        self._made = 0

    async def known(self, shape: Shape, place: Place = INLINE) -> Known:
        """Return what an undisturbed program does, on a local directory."""
        name = (shape, place.name)
        if name not in _known:
            expected = None if place is INLINE else (await self.known(shape)).output
            trial = self._make(work_of(shape), place, expected)
            await trial.finish()
            roles: tuple[Role, ...] = ("driver", "worker")
            _known[name] = Known(trial.output(), {role: trial.steps(role) for role in roles})
        return _known[name]

    async def make(self, shape: Shape = "map", place: Place = FILE) -> Trial:
        """Return a new trial."""
        return self._make(work_of(shape), place, (await self.known(shape)).output)

    def _make(self, work: Work, place: Place, expected: list[Any] | None) -> Trial:
        self._made += 1
        return Trial(self.nursery, self.folder / f"{self._made}", work, place, expected)

    async def strike(
        self, shape: Shape, blows: Sequence[Blow], place: Place = FILE, *, again: bool = False
    ) -> Trial:
        """Have blow after blow befall a program, run it to its end, look at everything.

        Raises `BrokenError`.
        """
        trial = await self.make(shape, place)
        for blow in blows:
            await trial.run(blow)
        await trial.finish(again=again)
        return trial

    def tidy(self) -> None:
        """Delete what finished trials have left."""
        for folder in self.folder.iterdir():
            shutil.rmtree(folder)


@asynccontextmanager
async def on_s3(
    bucket: Bucket, *, seed: int = 0, share: float = 0.0
) -> AsyncGenerator[tuple[Place, Proxy]]:
    """A bucket of an emulator, behind a proxy that sees to trouble."""
    assassin = Assassin()
    async with Proxy(bucket.cloud.url, seed=seed, share=share, on_step=assassin) as proxy:
        endpoint = quote(proxy.url, safe="")
        yield (
            Place(
                name="s3",
                storage=f"s3://{bucket.name}/{{trial}}?region=us-east-1&endpoint_url={endpoint}",
                audited=bucket.url.replace("?", "/{trial}?"),
                tries=10 if share else 1,
                environment=CREDENTIALS,
                assassin=assassin,
            ),
            proxy,
        )


@asynccontextmanager
async def on_lambda(
    bucket: Bucket, *, seed: int = 0, share: float = 0.0, faults: Faults | None = None
) -> AsyncGenerator[tuple[Place, Proxy]]:
    """The same, with a Lambda whose workers go on when their driver is dead."""
    async with (
        on_s3(bucket, seed=seed, share=share) as (place, proxy),
        LambdaFront(faults=faults, environment=CREDENTIALS) as front,
    ):

        async def rest() -> None:
            # A second delivery isn't among the counters' running ones.
            service: Any = vars(front)["_service"]
            while under_way := tuple(service._tasks):
                await asyncio.wait(under_way)

        yield (
            replace(place, name="lambda", backend=front.backend, rest=rest),
            proxy,
        )


def spread(steps: int, kills: int, shift: int) -> list[int]:
    """Return some of the steps, all over them; other ones for another shift."""
    return [1 + (place * steps + shift * 7) // kills % steps for place in range(kills)]


async def at_every_step(
    trials: Trials,
    shape: Shape,
    place: Place,
    role: Role,
    deed: Deed,
    chance: Random,
    every: int = 1,
) -> AsyncIterator[Trial]:
    """Strike at every step there is, until a program ends before it comes to it.

    Each time some of the following runs are struck, too, at steps drawn by chance.
    """
    step = 1 - every
    most = (await trials.known(shape, place)).steps
    while True:
        step += every
        more = [
            Fate(role, chance.randint(1, most[role]), deed) for _ in range(chance.choice((0, 1, 3)))
        ]
        blows = [Fate(role, step, deed), *more]
        trial = await trials.strike(shape, blows, place, again=step % 20 == 1)
        yield trial
        if trial.ended_first:
            return


async def at_every_request(
    trials: Trials, shape: Shape, place: Place, phase: Phase, chance: Random, every: int = 1
) -> AsyncIterator[Trial]:
    """Strike before, or after, every request there is."""
    request = 1 - every
    while True:
        request += every
        more = [Shot(chance.randint(1, 25), phase) for _ in range(chance.choice((0, 1, 3)))]
        trial = await trials.strike(shape, [Shot(request, phase), *more], place)
        yield trial
        if trial.ended_first:
            return


async def at_any_time(
    trials: Trials, shape: Shape, place: Place, seconds: float, chance: Random
) -> AsyncIterator[Trial]:
    """Strike at random times, for ever."""
    while True:
        blows = [Moment(chance.uniform(0, seconds)) for _ in range(chance.choice((1, 2, 5)))]
        yield await trials.strike(shape, blows, place)


async def at_a_full_disk(
    trials: Trials, shape: Shape, place: Place, role: Role, every: int = 1
) -> AsyncIterator[Trial]:
    """Have the disk be full from each step on; a program that fails of it has to say so."""
    step = 1 - every
    while True:
        step += every
        trial = await trials.make(shape, place)
        status = await trial.run(Fate(role, step, "full"))
        if status and "free some space" not in trial.said():
            raise trial.broken("a program failed of a full disk, and didn't say so")
        await trial.finish()
        yield trial
        if not status:
            return


async def racing(
    trials: Trials, shape: Shape, place: Place, seconds: float, chance: Random
) -> AsyncIterator[Trial]:
    """Start drivers beside each other at random times, for ever."""
    while True:
        trial = await trials.make(shape, place)
        most = chance.choice((0.0, 0.1, seconds))
        await trial.race([chance.uniform(0, most) for _ in range(chance.choice((2, 2, 4)))])
        await trial.finish()
        yield trial


async def left_to_events(
    trials: Trials, shape: Shape, place: Place, chance: Random
) -> AsyncIterator[Trial]:
    """Kill those who launch a job, at requests drawn by chance, and have a driver run the rest."""
    while True:
        trial = await trials.make(shape, place)
        for _ in range(chance.choice((1, 2, 3))):
            phase: Phase = chance.choice(("before", "after"))
            await trial.run(Shot(chance.randint(1, 20), phase), shape="launch")
        await trial.finish(again=True)
        yield trial
