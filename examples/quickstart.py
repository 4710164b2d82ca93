# ruff: noqa: D103
"""The quick start of the README: pi by counting random points, 100 calls of 100,000 points each."""

import asyncfabric as af


def inside(seed: int) -> int:
    import random

    points = random.Random(seed)
    return sum(points.random() ** 2 + points.random() ** 2 < 1 for _ in range(100_000))


async def main() -> None:
    async with af.Fabric() as fabric:  # this machine's cores
        counts = await fabric.map(inside, range(100))
        print(4 * sum(counts) / (100 * 100_000))


af.run(main())
