"""What a simulated day is like, and days that make no sense."""

from random import Random
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import Pareto, Profile, Spread, StoreProfile, Uniform


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (0.0, 1.0)])
def test_spreads_that_make_no_sense(low: float, high: float) -> None:
    with pytest.raises(af.ConfigurationError):
        Spread(low, high)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slow": 1.5}, "slow=1.5 makes no sense; a share is between 0 and 1"),
        ({"failures": -0.1}, "failures=-0.1 makes no sense; a share is between 0 and 1"),
        ({"noise": float("nan")}, "noise=nan makes no sense; give 0 or more"),
        ({"silence": -1}, "silence=-1 makes no sense; give 0 or more"),
        ({"retry_after": -1}, "retry_after=-1 makes no sense; give 0 or more"),
        ({"lost": "often"}, "lost='often' makes no sense; give a number"),
        ({"environments_per_second": 0}, "nothing would run; give more than 0"),
        ({"concurrency": 0}, "concurrency=0 makes no sense; give a whole number, 1 or more"),
        ({"environments_at_once": 2.5}, "environments_at_once=2.5 makes no sense"),
        ({"concurency": 5}, "a Profile has no attribute 'concurency'; it has overhead, "),
    ],
)
def test_profiles_that_make_no_sense(change: dict[str, Any], said: str) -> None:
    with pytest.raises(af.ConfigurationError) as caught:
        Profile.harsh().but(**change)
    assert said in str(caught.value)


def test_store_profiles_that_make_no_sense() -> None:
    with pytest.raises(af.ConfigurationError, match=r"conflicts=2 makes no sense"):
        StoreProfile(conflicts=2)
    with pytest.raises(af.ConfigurationError, match=r"a StoreProfile has no attribute 'loss'"):
        StoreProfile.harsh().but(loss=0.1)
    with pytest.raises(af.ConfigurationError, match=r"0 <= low <= high"):
        Uniform(2.0, 1.0)
    with pytest.raises(af.ConfigurationError, match=r"0 < least <= most"):
        Pareto(2.0, 1.0, 1.0)


# The columns of the model, as they were put together: lognormal times by median and 99th
# percentile, shares by request or attempt.


def test_the_default_column() -> None:
    day = Profile.default()
    assert day.overhead == Spread(0.020, 0.080)
    assert day.cold_start == Spread(0.350, 1.2)
    assert (day.environments_at_once, day.environments_per_second) == (1000, 100)
    assert (day.noise, day.slow, day.slowness) == (0.05, 0.02, Uniform(1.33, 2.0))
    assert (day.failures, day.lost, day.duplicates, day.throttles) == (1e-3, 1e-4, 1e-4, 0)
    assert (day.burst_bytes, day.bytes_per_second) == (300e6, 75e6)
    assert Profile.heavy() == day.but(slowness=Pareto(1.5, 1.5, 10.0))
    store = day.store
    assert (store.read, store.write) == (Spread(0.030, 0.150), Spread(0.050, 0.200))
    assert (store.stalls, store.stall) == (1e-4, Uniform(1, 5))
    assert store.bytes_per_second == 80e6
    assert (store.reads_per_second, store.writes_per_second) == (5500, 3500)


def test_the_harsh_column() -> None:
    day = Profile.harsh()
    assert day.overhead == Spread(0.030, 0.300)
    assert day.cold_start == Spread(0.700, 3.0)
    assert day.concurrency == 10
    assert (day.noise, day.slow, day.slowness) == (0.10, 0.05, Pareto(1.5, 1.5, 10.0))
    assert (day.failures, day.lost, day.duplicates, day.throttles) == (0.01, 0.01, 0.01, 0.01)
    assert day.bytes_per_second == 37.5e6
    store = day.store
    assert (store.read, store.write) == (Spread(0.040, 0.300), Spread(0.080, 0.500))
    assert (store.stalls, store.stall) == (1e-3, Uniform(1, 20))
    assert store.bytes_per_second == 40e6


def test_distributions() -> None:
    chance = Random(1)
    drawn = sorted(Spread(0.02, 0.08).draw(chance) for _ in range(10_000))
    assert drawn[5000] == pytest.approx(0.02, rel=0.05)
    assert drawn[9900] == pytest.approx(0.08, rel=0.1)
    assert all(1 <= Uniform(1, 2).draw(chance) <= 2 for _ in range(100))
    assert all(1.5 <= Pareto(1.5, 1.5, 10).draw(chance) <= 10 for _ in range(1000))
