"""Random programs on random clouds: what a seed of the driver's property runs is made of."""

import asyncio
from dataclasses import dataclass
from random import Random
from typing import Any

import asyncfabric as af
from asyncfabric.testing import Pareto, Profile, Spread, StoreProfile, Uniform, spend

BIG = 300_000
"""Bytes that don't fit into an invocation."""


EAGER = af.Hedge(chance=0.49, factor=1.0, copies=4, share=1.0, least=0.0)
"""Copies whatever it can."""


FABRICS: list[list[dict[str, Any]]] = [
    [{}],
    [{}],
    [{}],
    [{}, {}],
    [{}, {"function": "other", "memory": 512}],
    [{"function": "third", "reserved": 1}, {"function": "other"}, {}],
]


class UserError(Exception):
    """Raised by some calls, for good."""


class FleetingError(Exception):
    """Raised by some calls in their first attempt."""


@dataclass(frozen=True, slots=True)
class Input:
    """What one call does."""

    index: int
    seconds: float
    steps: int = 1
    raises: str = ""
    body: bytes = b""
    answer: int = 0
    tells: bool = False
    """It reports its progress after each step."""


def work(given: Input) -> tuple[int, bytes]:
    """Do what the input says."""
    for step in range(given.steps):
        spend(given.seconds / given.steps)
        _tell(given, step)
    return _end(given)


async def work_async(given: Input) -> tuple[int, bytes]:
    """Do the same as a coroutine function."""
    for step in range(given.steps):
        await asyncio.sleep(given.seconds / given.steps)
        _tell(given, step)
    return _end(given)


def _tell(given: Input, step: int) -> None:
    if given.tells:
        af.current().progress((step + 1) / given.steps)


def _end(given: Input) -> tuple[int, bytes]:
    here = af.current()
    assert here.attempt >= 1
    if given.raises == "always" or (given.raises == "first" and here.attempt == 1):
        raise (UserError if given.raises == "always" else FleetingError)(given.index)
    return given.index, bytes(given.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One fan-out, and how it is used."""

    inputs: list[Input]
    shape: str
    chunksize: int | None
    coroutine: bool
    delay: float
    give_up: float | None
    """After so many seconds it is cancelled."""
    take: int | None
    """After so many results it is left."""
    cancel_at: tuple[float, float] | None
    """When this share of its calls has ended, and so many seconds later, half of the others are
    cancelled, if they are submitted."""
    weight: float
    fabric: int
    """Which of the Fabrics it is on."""

    @property
    def expected(self) -> list[tuple[int, bytes]]:
        """The results in order, if nothing fails."""
        return [(each.index, bytes(each.answer)) for each in self.inputs]

    @property
    def is_whole(self) -> bool:
        """Nobody stops it before its end."""
        return self.give_up is None and self.take is None

    @property
    def fails(self) -> bool:
        """Some call fails for good by itself."""
        return any(each.raises == "always" for each in self.inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One seed's program and cloud."""

    seed: int
    profile: Profile
    max_concurrency: int
    retry: af.Retry
    hedge: af.Hedge | None
    limit: af.Limit | None
    fabrics: list[dict[str, Any]]
    """How they differ: in the function, and what is reserved for it."""
    idempotent: bool
    heartbeats: bool
    jobs: list[Job]
    cuts: list[tuple[float, int]]
    """When the account's limit becomes what."""
    close_at: float | None
    """When the Fabric is closed under its users."""

    @property
    def copies(self) -> int:
        """At how many places a call may run at a time."""
        return self.hedge.copies if self.hedge is not None and self.idempotent else 1

    @property
    def may_fail(self) -> bool:
        """Whether the cloud may fail calls for good."""
        profile = self.profile
        return bool(profile.failures or profile.lost or profile.store.lost or profile.store.errors)


DAYS = ("calm", "default", "heavy", "harsh", "harsh", "throttled", "broken")


def scenario(seed: int, day: str | None = None) -> Scenario:
    """Draw a scenario; the same one for the same seed. `day` is a name of a Profile for all."""
    chance = Random(f"scenario:{seed}")
    more = Random(f"more of the scenario:{seed}")  # later additions leave the others as they were
    cuts = [
        (chance.uniform(0, 20), chance.randint(1, 40))
        for _ in range(chance.choice((0, 0, 0, 1, 3)))
    ]
    return Scenario(
        seed=seed,
        profile=_profile(chance, more, day),
        max_concurrency=chance.choice((1, 2, 5, 10, 20, 40)),
        retry=af.Retry(attempts=chance.randint(1, 4), on=(FleetingError,)),
        hedge=chance.choice((af.Hedge(), EAGER, EAGER, None)),
        limit=more.choice((None, None, af.Limit(start=1), af.Limit(start=5, probe=0.5))),
        fabrics=(fabrics := more.choice(FABRICS)),
        idempotent=chance.random() < 0.9,
        heartbeats=more.random() < 0.5,
        jobs=[
            _job(chance, more, number, len(fabrics))
            for number in range(chance.choice((1, 1, 2, 4)))
        ],
        cuts=cuts,
        close_at=chance.uniform(0, 20) if chance.random() < 0.1 else None,
    )


def _profile(chance: Random, more: Random, day: str | None) -> Profile:
    profile = _weather(chance)
    if day is not None:
        given: Profile = getattr(Profile, day)()
        return given
    return profile.but(
        failures=0.9 if more.random() < 0.05 else profile.failures,
        retry_after=profile.retry_after or more.choice((None, 1.5)),
        heartbeat_seconds=more.choice((0.1, 0.5, profile.heartbeat_seconds)),
        requests_per_environment=more.choice((0.1, 1.0, 10.0, 10.0, 10.0)),
    )


def _weather(chance: Random) -> Profile:
    name = chance.choice(DAYS)
    if name == "throttled":
        return Profile.calm().but(
            concurrency=chance.randint(1, 20),
            throttles=chance.choice((0.0, 0.05, 0.3)),
            retry_after=chance.choice((None, 0.5, 3.0)),
            environments_at_once=chance.randint(1, 20),
            environments_per_second=chance.choice((0.5, 5.0)),
        )
    if name == "broken":
        store = StoreProfile(stalls=0.05, stall=Uniform(1, 20), lost=0.05, conflicts=0.05)
        return Profile.harsh().but(
            concurrency=chance.randint(1, 50),
            failures=chance.choice((0.05, 0.3)),
            lost=chance.choice((0.0, 0.1)),
            lost_silently=0.5,
            duplicates=0.1,
            slow=0.2,
            slowness=Pareto(1.5, 1.1, 50.0),
            overhead=Spread(0.05, 2.0),
            store=store,
        )
    profile: Profile = getattr(Profile, name)()
    return profile


def _job(chance: Random, more: Random, number: int, fabrics: int) -> Job:
    tells = more.random() < 0.3
    count = chance.choice((1, 3, 10, 30, 60))
    scale = chance.choice((0.0, 0.01, 0.3, 2.0, 10.0))
    share_of_errors = chance.choice((0.0, 0.0, 0.02, 0.2))
    fleeting = chance.choice((0.0, 0.0, 0.1))
    big = chance.random() < 0.05
    inputs: list[Input] = []
    for index in range(count):
        draw = chance.random()
        errs = "always" if draw < share_of_errors else ""
        inputs.append(
            Input(
                index=1000 * number + index,
                seconds=scale * chance.lognormvariate(0, 0.5),
                steps=chance.choice((1, 1, 4)),
                raises=errs or ("first" if chance.random() < fleeting else ""),
                body=bytes(BIG) if big and chance.random() < 0.1 else b"",
                answer=BIG if big and chance.random() < 0.1 else 0,
                tells=tells,
            )
        )
    shape = chance.choice(
        ("map", "map", "map", "stream", "unordered", "as_completed", "submit", "errors", "retry")
    )
    stops = chance.random()
    return Job(
        inputs=inputs,
        shape=shape,
        chunksize=chance.choice((None, None, 1, 1, 7)),
        coroutine=chance.random() < 0.15,
        delay=chance.choice((0.0, 0.0, chance.uniform(0, 5))),
        give_up=chance.uniform(0, 3 * scale + 1) if stops < 0.2 else None,
        take=chance.randint(0, count) if 0.2 <= stops < 0.3 else None,
        cancel_at=(more.choice((0.0, 0.5, 0.9)), more.uniform(0, 2 * scale + 1))
        if more.random() < 0.5
        else None,
        weight=more.choice((1.0, 1.0, 0.1, 7.0)),
        fabric=more.randrange(fabrics),
    )
