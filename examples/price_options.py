"""Price an Asian option by simulation: 2,000 seeds, fanned out, with an estimate that converges.

An Asian call pays what the average of a share's prices on 50 days exceeds the strike by. With the
geometric average it has a closed form (Kemna and Vorst 1990), with the arithmetic one it hasn't.
Each call simulates both averages on the same 1,000 paths. The geometric price is held against its
closed form, and what it is off by corrects the arithmetic price: a control variate.

    python examples/price_options.py
    python examples/price_options.py --seeds 200 --backend inline://

What it shows of asyncfabric: calls taken as they are completed, each one knowing its index and its
input, with a running estimate; and a result that doesn't depend on the order in which they came.
"""

import argparse
import sys
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af

PATHS = 1_000  # of each seed
PHI = NormalDist().cdf


@dataclass(frozen=True)
class Option:
    """A call on the average of `days` equally spaced prices of a share, one year from now."""

    spot: float = 100.0
    strike: float = 100.0
    rate: float = 0.05
    volatility: float = 0.3
    days: int = 50

    def geometric_price(self) -> float:
        """Return the closed form: the geometric average is log-normal, as the share itself is."""
        n, drift = self.days, self.rate - self.volatility**2 / 2
        mean = np.log(self.spot) + drift * (n + 1) / (2 * n)
        deviation = self.volatility * ((n + 1) * (2 * n + 1) / (6 * n**2)) ** 0.5
        d = (mean - np.log(self.strike)) / deviation
        forward = np.exp(mean + deviation**2 / 2)
        value = forward * PHI(d + deviation) - self.strike * PHI(d)
        return float(np.exp(-self.rate) * value)

    def highest_price(self) -> float:
        """Return what the arithmetic option can't exceed: the mean of calls on each day's price."""
        times = np.arange(1, self.days + 1) / self.days
        deviations = self.volatility * times**0.5
        forwards = self.spot * np.exp(self.rate * times)
        ds = np.log(forwards / self.strike) / deviations - deviations / 2
        calls = [
            forward * PHI(d + deviation) - self.strike * PHI(d)
            for forward, d, deviation in zip(forwards, ds, deviations, strict=True)
        ]
        return float(np.exp(-self.rate) * np.mean(calls))


def simulate(seed: int, *, option: Option) -> tuple[float, float]:
    """Return the mean discounted payoff of the arithmetic and of the geometric option."""
    step = 1 / option.days
    noise = np.random.default_rng(seed).standard_normal((PATHS, option.days))
    moves = (option.rate - option.volatility**2 / 2) * step + option.volatility * step**0.5 * noise
    logs = np.log(option.spot) + moves.cumsum(axis=1)
    averages = np.exp(logs).mean(axis=1), np.exp(logs.mean(axis=1))
    discount = np.exp(-option.rate)
    arithmetic, geometric = (np.maximum(each - option.strike, 0).mean() for each in averages)
    return float(discount * arithmetic), float(discount * geometric)


def estimate(payoffs: NDArray[np.float64], known: float) -> list[tuple[float, float]]:
    """Return price and standard error: arithmetic, geometric, and arithmetic corrected."""
    arithmetic, geometric = payoffs[:, 0], payoffs[:, 1]
    slope = float(np.polyfit(geometric, arithmetic, 1)[0])
    corrected = arithmetic - slope * (geometric - known)
    return [
        (float(sample.mean()), float(sample.std(ddof=1)) / len(sample) ** 0.5)
        for sample in (arithmetic, geometric, corrected)
    ]


async def price(option: Option, options: argparse.Namespace) -> NDArray[np.float64]:
    """Fan the seeds out, show the estimate as it converges, return the payoffs by seed."""
    payoffs = np.full((options.seeds, 2), np.nan)
    done = 0
    async with af.Fabric(options.backend) as fabric:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        calls = fabric.map(simulate, seeds, shared={"option": option}, ordered=False)
        async for call in af.as_completed(calls):
            payoffs[call.index] = call.result()
            done += 1
            if done % max(options.seeds // 10, 2) == 0:
                known = payoffs[~np.isnan(payoffs[:, 0])]
                *_, (value, error) = estimate(known, option.geometric_price())
                print(f"  {done:6,} seeds: {value:.4f} +- {error:.4f}", file=sys.stderr)
    return payoffs


def main() -> None:
    """Simulate, report, check."""
    parser = argparse.ArgumentParser(description="an Asian option by simulation, fanned out")
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    if options.seeds < 10:
        parser.error("fewer than 10 seeds give no standard error worth the name")
    option = Option()
    known, highest = option.geometric_price(), option.highest_price()
    payoffs = af.run(price(option, options))
    arithmetic, geometric, corrected = estimate(payoffs, known)
    print(f"{'geometric average':32} {geometric[0]:.6f} +- {geometric[1]:.6f}   known {known:.6f}")
    print(f"{'arithmetic average':32} {arithmetic[0]:.6f} +- {arithmetic[1]:.6f}")
    print(f"{'arithmetic, with control variate':32} {corrected[0]:.6f} +- {corrected[1]:.6f}")
    assert abs(geometric[0] - known) < 4 * geometric[1]
    assert abs(corrected[0] - arithmetic[0]) < 4 * arithmetic[1]
    assert known < corrected[0] < highest
    print("checked: within 4 standard errors of the known value")


if __name__ == "__main__":
    main()
