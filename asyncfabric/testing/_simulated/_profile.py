"""How a cloud behaves: latencies, limits, stragglers and faults."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from math import exp, inf, log
from typing import TYPE_CHECKING, Any, Protocol

from asyncfabric._checks import check_count
from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from typing import Self

_P99 = 2.3263478740408408
"""The standard normal distribution's 99th percentile."""


class Factor(Protocol):
    """A distribution of factors."""

    def draw(self, chance: Random) -> float:
        """Return one of them."""
        ...


@dataclass(frozen=True, slots=True)
class Spread:
    """A lognormal distribution of seconds, by its median and its 99th percentile.

    >>> Spread(0.02, 0.08).p50
    0.02
    """

    p50: float
    p99: float

    def __post_init__(self) -> None:
        if not 0 < self.p50 <= self.p99 < inf:
            raise ConfigurationError(f"{self} is no distribution; give 0 < p50 <= p99, in seconds")

    def draw(self, chance: Random) -> float:
        """Return one of the durations, in seconds."""
        return self.p50 * exp(chance.gauss(0.0, 1.0) * log(self.p99 / self.p50) / _P99)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Numbers between two others, all equally likely."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < inf:
            raise ConfigurationError(f"{self} is no distribution; give 0 <= low <= high")

    def draw(self, chance: Random) -> float:
        """Return one of them."""
        return chance.uniform(self.low, self.high)


@dataclass(frozen=True, slots=True)
class Pareto:
    """A Pareto distribution from `least` on, by its shape, cut off at `most`."""

    least: float
    shape: float
    most: float

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.most < inf and self.shape > 0):
            raise ConfigurationError(
                f"{self} is no distribution; give 0 < least <= most and a shape above 0"
            )

    def draw(self, chance: Random) -> float:
        """Return a number of it."""
        return min(self.most, self.least * chance.paretovariate(self.shape))


MILD = Uniform(1.33, 2.0)
"""Slow environments as in "OverSketched Newton" (Gupta and others, 2019), figure 1."""
HEAVY = Pareto(1.5, 1.5, 10.0)
"""Those of "Effective Straggler Mitigation: Attack of the Clones" (Ananthanarayanan and others,
NSDI 2013) in jobs without mitigation: eight times the median and more."""


class _Changeable:
    """What has attributes that can be changed, and numbers that must make sense."""

    __slots__ = ()

    def but(self, **changes: Any) -> Self:
        """Return this profile with some attributes changed.

        Raises `ConfigurationError` for names that there are not and values that make no sense.
        """
        this: Any = self
        known = [each.name for each in fields(this)]
        for name in changes:
            if name not in known:
                what = f"a {type(self).__name__} has no attribute {name!r}"
                raise ConfigurationError(f"{what}; it has {', '.join(known)}")
        changed: Self = replace(this, **changes)
        return changed

    def _check(self, shares: str, amounts: str, limits: str) -> None:
        """Refuse shares not from 0 to 1, amounts below 0, limits of nothing."""
        self._check_each(shares, lambda value: 0 <= value <= 1, "a share is between 0 and 1")
        self._check_each(amounts, lambda value: 0 <= value < inf, "give 0 or more")
        self._check_each(limits, lambda value: value > 0, "nothing would run; give more than 0")

    def _check_each(self, names: str, makes_sense: Callable[[Any], bool], advice: str) -> None:
        for name in names.split():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigurationError(f"{name}={value!r} makes no sense; give a number")
            if not makes_sense(value):
                raise ConfigurationError(f"{name}={value!r} makes no sense; {advice}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreProfile(_Changeable):
    """How the object store behaves. Shares are per request, between 0 and 1.

    Attributes:
        read: seconds of a GET, HEAD or a page of a listing.
        write: seconds of a PUT or DELETE.
        bytes_per_second: how fast a body goes over one connection.
        stalls: share of requests that hang for a while, and `stall` how long, in seconds.
        stall: see `stalls`.
        lost: share of answers that are lost: the request was carried out.
        conflicts: share of conditional writes that are answered 409, to be repeated.
        errors: share of requests that are answered 503 for no reason of one's own.
        reads_per_second: of the whole bucket; what exceeds it is answered 503.
        writes_per_second: likewise.
    """

    read: Spread = Spread(0.030, 0.150)
    write: Spread = Spread(0.050, 0.200)
    bytes_per_second: float = 80e6
    stalls: float = 1e-4
    stall: Uniform = Uniform(1.0, 5.0)
    lost: float = 1e-4
    conflicts: float = 1e-4
    errors: float = 0.0
    reads_per_second: float = 5500.0
    writes_per_second: float = 3500.0

    def __post_init__(self) -> None:
        self._check(
            shares="stalls lost conflicts errors",
            amounts="",
            limits="bytes_per_second reads_per_second writes_per_second",
        )

    @classmethod
    def default(cls) -> StoreProfile:
        """Return S3 on an ordinary day."""
        return cls()

    @classmethod
    def harsh(cls) -> StoreProfile:
        """Return S3 on a bad day."""
        return cls(
            read=Spread(0.040, 0.300),
            write=Spread(0.080, 0.500),
            bytes_per_second=40e6,
            stalls=1e-3,
            stall=Uniform(1.0, 20.0),
            lost=1e-2,
            conflicts=1e-2,
            errors=1e-2,
        )

    @classmethod
    def express(cls) -> StoreProfile:
        """Return S3 Express One Zone; on a bad day, it is `harsh` with 8 and 40 ms."""
        fast = Spread(0.005, 0.015)
        return cls(read=fast, write=fast, reads_per_second=200e3, writes_per_second=100e3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(_Changeable):
    """How a simulated cloud behaves.

    Use one of the constructors and change what matters: `Profile.heavy().but(failures=0)`. Times
    are seconds, shares are between 0 and 1. The figures are published ones, put together; none was
    measured on AWS itself.

    Attributes:
        overhead: what a warm invocation takes apart from the function's own time.
        cold_start: what a new environment takes before it begins; it is billed.
        concurrency: invocations that the account runs at a time; see `SimulatedCloud.concurrency`.
        environments_at_once: new environments that a function is given at once.
        environments_per_second: how fast that allowance comes back.
        requests_per_environment: requests that a function takes a second, for each invocation that
            the account, or its reserved share, lets run at a time.
        idle_seconds: how long an unused environment is kept.
        noise: standard deviation of a call's run time, as a share of it.
        slow: share of attempts that find a slow environment.
        slowness: how many times longer those take.
        failures: share of attempts that are lost with their environment, at any point of the run.
        lost: share of attempts that run to their end, after which the answer is lost.
        lost_silently: share of those whose caller hears nothing for `silence` seconds; the others'
            connection is reset at once.
        silence: see `lost_silently`; by default what TCP's probes take to find a connection dead.
        duplicates: share of invocations that run a second time beside the first.
        throttles: share of invocations that are refused although there is room.
        retry_after: what a refusal asks to wait for, in seconds; None: it says nothing.
        heartbeat_seconds: reports of progress are written to the store so far apart at least, the
            first after so long; the driver looks for them twice as often.
        burst_bytes: what an environment sends and receives as fast as its connections do.
        bytes_per_second: how fast it does so after that, over all its connections.
        store: how the object store behaves.
    """

    overhead: Spread = Spread(0.020, 0.080)
    cold_start: Spread = Spread(0.350, 1.2)
    concurrency: int = 1000
    environments_at_once: int = 1000
    environments_per_second: float = 100.0
    requests_per_environment: float = 10.0
    idle_seconds: float = 600.0
    noise: float = 0.05
    slow: float = 0.02
    slowness: Factor = MILD
    failures: float = 1e-3
    lost: float = 1e-4
    lost_silently: float = 0.0
    silence: float = 210.0
    duplicates: float = 1e-4
    throttles: float = 0.0
    retry_after: float | None = None
    heartbeat_seconds: float = 5.0
    burst_bytes: float = 300e6
    bytes_per_second: float = 75e6
    store: StoreProfile = field(default_factory=StoreProfile)

    def __post_init__(self) -> None:
        self._check(
            shares="slow failures lost lost_silently duplicates throttles",
            amounts="idle_seconds noise silence burst_bytes"
            + ("" if self.retry_after is None else " retry_after"),
            limits="environments_per_second requests_per_environment bytes_per_second"
            " heartbeat_seconds",
        )
        for name in ("concurrency", "environments_at_once"):
            check_count(name, getattr(self, name))

    @classmethod
    def default(cls) -> Profile:
        """Return an ordinary day: two in a hundred attempts are slow, one in a thousand fails."""
        return cls()

    @classmethod
    def heavy(cls) -> Profile:
        """Return the default with slow environments that take up to ten times as long."""
        return cls(slowness=HEAVY)

    @classmethod
    def calm(cls) -> Profile:
        """Return the default without slow environments and without faults: the ideal."""
        store = StoreProfile(stalls=0, lost=0, conflicts=0)
        return cls(slow=0, failures=0, lost=0, duplicates=0, store=store)

    @classmethod
    def harsh(cls) -> Profile:
        """Return a bad day on a new account: everything that goes wrong does, and often."""
        return cls(
            overhead=Spread(0.030, 0.300),
            cold_start=Spread(0.700, 3.0),
            concurrency=10,
            noise=0.10,
            slow=0.05,
            slowness=HEAVY,
            failures=1e-2,
            lost=1e-2,
            lost_silently=0.25,
            duplicates=1e-2,
            throttles=1e-2,
            bytes_per_second=37.5e6,
            store=StoreProfile.harsh(),
        )
