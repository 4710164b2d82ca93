"""A long soak.

python -m tests.soak --calls 1000000
python -m tests.soak --calls 100000 --lambda

Ends with status 1 where there is more of anything at the end than in the middle: tasks, threads,
processes, descriptors, live objects of our classes, memory beyond a bound, temporary directories.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from contextlib import AsyncExitStack

import asyncfabric as af
from asyncfabric.testing import LambdaFront

from . import census
from .soaking import ON_LAMBDA, STEPS, Soak

_PROCESSES = 2
_GROWTH_BYTES = 24 * 2**20
"""Of resident memory between middle and end: fragments, and caches that fill."""


async def soak(calls: int, seed: int, looks: int, *, on_lambda: bool) -> list[str]:
    """Make so many calls; return what is wrong then."""
    before = census.directories()
    async with AsyncExitStack() as stack:
        backend = f"local://?processes={_PROCESSES}"
        if on_lambda:
            backend = (await stack.enter_async_context(LambdaFront())).backend
        fabric = await stack.enter_async_context(af.Fabric(backend, max_concurrency=_PROCESSES))
        soaking = Soak(fabric, seed, ON_LAMBDA if on_lambda else STEPS)
        taken: list[census.Census] = []
        await soaking.all_steps()
        began = time.perf_counter()
        for look in range(1, looks + 1):
            await soaking.until(calls * look // looks)
            taken.append(await soaking.census(_PROCESSES))
            print(f"{time.perf_counter() - began:6.0f} s  {taken[-1]}", flush=True)
        report = fabric.report()
    print(f"steps: {soaking.done}")
    print(f"{report}")
    middle, end = taken[len(taken) // 2 - 1], taken[-1]
    wrong = census.differences(middle, end)
    wrong += [
        f"{name}: {(now - was) / 2**20:.1f} MB more"
        for name, was, now in (
            ("memory", middle.memory, end.memory),
            ("memory of a worker", middle.workers, end.workers),
        )
        if now - was > _GROWTH_BYTES
    ]
    wrong += [f"directory {name}" for name in census.directories() - before]
    return wrong


def main() -> int:
    """Soak, and say what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--calls", type=int, default=1_000_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of what is done")
    parser.add_argument("--looks", type=int, default=20, help="how often everything is counted")
    parser.add_argument("--lambda", action="store_true", dest="on_lambda", help="on LambdaFront")
    options = parser.parse_args()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, "none")
    wrong = asyncio.run(
        soak(options.calls, options.seed, options.looks, on_lambda=options.on_lambda)
    )
    print("; ".join(wrong) if wrong else "nothing grew, nothing is left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
