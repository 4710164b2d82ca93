"""Count in many workers at once: the smallest shared state there is.

Each call draws points in a square and counts those within the circle, into one parameter that all
workers share. Calls that are repeated count once: one in ten loses its worker after it has counted.

    bash examples/run shared_counter
    ASYNCFABRIC_REDIS=redis://host/0 bash examples/run shared_counter     # a Redis of your own

It takes a second, and prints how many points were counted, each of them once, and what pi is.

What it shows of asyncfabric: a ParameterServer, with a private Redis where none is named; its
blocking twin in a plain function; pushes that are applied once however often their call runs.
"""

import argparse
import os
import signal

import numpy as np

import asyncfabric as af
from asyncfabric.params import ParameterServer

POINTS = 100_000  # of each call


def count(call: int, ps: ParameterServer) -> int:
    """Count the points within the circle; returns which attempt it was that ended well."""
    x, y = af.current().rng().uniform(-1, 1, (2, POINTS))
    inside = np.count_nonzero(x**2 + y**2 < 1)
    ps.blocking.push("points", [float(inside), float(POINTS)])
    attempt = af.current().attempt
    if call % 10 == 0 and attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    return attempt


async def main(calls: int) -> None:
    """Estimate pi, and check that nothing was counted twice or left out."""
    async with ParameterServer(name="counter") as ps, af.Fabric() as fabric:
        await ps.put("points", np.zeros(2))
        attempts = await fabric.map(count, range(calls), shared={"ps": ps}, seed=7)
        (inside, points), version = await ps.pull("points")
        await ps.delete("points")
    repeated = sum(attempt > 1 for attempt in attempts)
    print(f"{calls} calls, {repeated} of them lost their worker after they had counted")
    print(f"{points:,.0f} points, none twice; pi is about {4 * inside / points:.4f}")
    assert points == calls * POINTS
    assert version == 1 + calls
    assert abs(4 * inside / points - np.pi) < 20 / points**0.5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Estimate pi with a shared counter.")
    parser.add_argument("--calls", type=int, default=40)
    af.run(main(parser.parse_args().calls))
