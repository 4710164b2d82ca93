"""Count in many workers at once: the smallest shared state there is.

Each call draws points in a square and counts those within the circle, into one parameter that all
workers share. Calls that are repeated count once: one in ten loses its worker after it has counted.

    python examples/shared_counter.py
    ASYNCFABRIC_REDIS=redis://host/0 python examples/shared_counter.py

What it shows of asyncfabric: a ParameterServer, with a private Redis where none is named; its
blocking twin in a plain function; pushes that are applied once however often their call runs.
"""

import argparse
import os
import signal
import tempfile
from pathlib import Path

import numpy as np

import asyncfabric as af
from asyncfabric.params import ParameterServer

POINTS = 100_000  # of each call


def count(call: int, ps: ParameterServer, marks: str) -> None:
    """Count the points within the circle. The first time, every tenth call's worker dies."""
    x, y = af.current().rng().uniform(-1, 1, (2, POINTS))
    inside = np.count_nonzero(x**2 + y**2 < 1)
    ps.blocking.push("points", [float(inside), float(POINTS)])
    mark = Path(marks, str(call))
    if call % 10 == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


async def main(calls: int) -> None:
    """Estimate pi, and check that nothing was counted twice or left out."""
    with tempfile.TemporaryDirectory() as marks:
        async with (
            ParameterServer(name="counter") as ps,
            af.Fabric("local://?processes=2") as fabric,
        ):
            await ps.put("points", np.zeros(2))
            await fabric.map(count, range(calls), shared={"ps": ps, "marks": marks}, seed=7)
            (inside, points), version = await ps.pull("points")
            deaths = len(os.listdir(marks))  # noqa: PTH208 - a small one
    assert points == calls * POINTS
    assert version == 1 + calls
    print(f"{calls} calls, {deaths} of them lost their worker after they had counted")
    print(f"{points:,.0f} points, none twice; pi is about {4 * inside / points:.4f}")
    assert abs(4 * inside / points - np.pi) < 20 / points**0.5


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Estimate pi with a shared counter.")
    parser.add_argument("--calls", type=int, default=40)
    af.run(main(parser.parse_args().calls))
