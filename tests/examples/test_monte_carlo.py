"""The main job: right, and the same to the last bit wherever and however it runs."""

import re
from pathlib import Path

import numpy as np
import pytest

import asyncfabric as af
from examples import monte_carlo

from .running import run

FLIGHTS = monte_carlo.load()
SEED = 5
SEVERAL = (
    "--processes=2",
    "--processes=1 --chunksize=7",
    "--processes=2 --chunksize=64",
    "--backend=inline://",
)


def _results(output: str) -> tuple[int, str]:
    """Return how many resamples were made, and their fingerprint."""
    done = re.search(r"^([\d,]+) resamples in", output, re.MULTILINE)
    fingerprint = re.search(r"^fingerprint (\w{64})$", output, re.MULTILINE)
    assert done is not None, output
    assert fingerprint is not None, output
    assert "checked: " in output
    return int(done[1].replace(",", "")), fingerprint[1]


async def _means(resamples: int) -> monte_carlo.Floats:
    shared = {"counts": FLIGHTS.counts, "minutes": FLIGHTS.minutes}
    async with af.Fabric("inline://") as fabric:
        seeds = range(resamples)
        return np.array(await fabric.map(monte_carlo.resample, seeds, shared=shared, seed=SEED))


@pytest.fixture(scope="module")
def means() -> monte_carlo.Floats:
    return af.run(_means(600))


# as a program


def test_the_same_results_wherever_it_runs(tmp_path: Path) -> None:
    results = {
        each: _results(run(tmp_path, "monte_carlo", "--resamples=400", *each.split()))
        for each in SEVERAL
    }
    assert set(results.values()) == {(400, results[SEVERAL[0]][1])}


def test_another_seed_gives_other_results(tmp_path: Path) -> None:
    arguments = "--resamples=100", "--backend=inline://"
    one = _results(run(tmp_path, "monte_carlo", *arguments, "--seed=1"))
    other = _results(run(tmp_path, "monte_carlo", *arguments, "--seed=2"))
    assert one != other


def test_an_early_stop_comes_at_the_same_resample(tmp_path: Path) -> None:
    arguments = ("--resamples=10000", "--stop-when=1.1")
    results = [
        _results(run(tmp_path, "monte_carlo", *arguments, *each.split())) for each in SEVERAL[1:3]
    ]
    assert results[0] == results[1]
    done, _ = results[0]
    assert 500 < done < 10000  # not at the first look, and before the end
    # What was drawn before the stop is what is drawn without one.
    assert _results(run(tmp_path, "monte_carlo", f"--resamples={done}", SEVERAL[3])) == results[0]


# its parts


def test_all_flights_are_read() -> None:
    assert len(FLIGHTS.carriers) == 16
    assert int(FLIGHTS.counts.sum()) == 327_346
    assert FLIGHTS.missing + int(FLIGHTS.counts.sum()) == 336_776
    early, late = FLIGHTS.minutes[[0, -1]]
    assert (early, late) == (-86, 1272)
    united = list(FLIGHTS.carriers).index("UA")
    assert FLIGHTS.counts[united].sum() == 57_782
    assert monte_carlo.closed_form(FLIGHTS)[0][united] == pytest.approx(3.558, abs=5e-4)


def test_each_call_has_the_stream_of_its_index(means: monte_carlo.Floats) -> None:
    flights = FLIGHTS.counts.sum(axis=1)
    for index in (0, 1, 599):
        rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(index,)))
        drawn = rng.multinomial(flights, FLIGHTS.counts / flights[:, None])
        assert (drawn.sum(axis=1) == flights).all()
        assert (drawn @ FLIGHTS.minutes / flights == means[index]).all()


def test_counting_delays_draws_from_the_distribution_of_drawing_flights() -> None:
    """Two-sample Kolmogorov-Smirnov, for the carrier with the fewest flights."""
    row = list(FLIGHTS.carriers).index("OO")
    counts, size = FLIGHTS.counts[row], 4_000
    rng = np.random.default_rng(SEED)
    flights = np.repeat(FLIGHTS.minutes, counts)
    literal = np.sort(rng.choice(flights, (size, len(flights))).mean(axis=1))
    drawn = rng.multinomial(len(flights), counts / len(flights), size)
    counted = np.sort(drawn @ FLIGHTS.minutes / len(flights))
    everywhere = np.concatenate([literal, counted])
    below = [np.searchsorted(each, everywhere, "right") / size for each in (literal, counted)]
    assert abs(below[0] - below[1]).max() < 1.95 * (2 / size) ** 0.5  # one in a thousand


def test_the_check_passes_what_is_right_and_nothing_else(means: monte_carlo.Floats) -> None:
    monte_carlo.check(FLIGHTS, means)
    centre, error = monte_carlo.closed_form(FLIGHTS)
    with pytest.raises(AssertionError):
        monte_carlo.check(FLIGHTS, means + error)  # biased
    with pytest.raises(AssertionError):
        monte_carlo.check(FLIGHTS, centre + (means - centre) * 1.5)  # too wide


def test_noise_is_the_error_of_the_ends() -> None:
    """Held against the spread of the ends of many intervals of a known distribution."""
    samples = np.random.default_rng(SEED).standard_normal((2_000, 200))
    ends = np.quantile(samples, monte_carlo.QUANTILES, axis=0)
    spread = ends.std(axis=1).mean()
    noises = [monte_carlo.noise(samples[:, [column]]) for column in range(200)]
    assert np.mean(noises) == pytest.approx(spread, rel=0.25)  # the worse end of the two: above
    assert np.mean(noises) > spread


def test_bad_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="fewer than 100 resamples"):
        run(tmp_path, "monte_carlo", "--resamples=0")
