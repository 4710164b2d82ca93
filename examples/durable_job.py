"""A job that outlives its program: kill this at any moment, run it again, and it goes on.

It counts the primes below a hundred million, a block at a time. Ctrl-C, `kill -9` or a power cut
cost the blocks that are being sieved just then; those that are finished are not sieved again.

    python examples/durable_job.py [DIRECTORY] [--below 100000000]

The results lie in the directory, by default ./primes; `asyncfabric jobs` shows and discards jobs.
With a bucket in ASYNCFABRIC_STORAGE it works the same.
"""

import argparse
import os
from math import isqrt
from pathlib import Path

import asyncfabric as af

BLOCK = 200_000
KNOWN = {10**6: 78_498, 10**7: 664_579, 10**8: 5_761_455}
"""How many primes there are: https://oeis.org/A006880."""


def primes_in(first: int) -> int:
    """Count the primes in a block, by the sieve of Eratosthenes."""
    stop = first + BLOCK
    small = bytearray([1]) * (isqrt(stop) + 1)
    block = bytearray([1]) * BLOCK
    for number in range(2, len(small)):
        if small[number]:
            square = number * number
            small[square::number] = bytes(len(range(square, len(small), number)))
            begin = max(square, -(-first // number) * number) - first
            block[begin::number] = bytes(len(range(begin, BLOCK, number)))
    return sum(block) - (2 if first == 0 else 0)  # 0 and 1 are left in the first one


async def main(below: int, storage: str) -> None:
    """Count, and say how much of it had been done before."""
    name = f"primes-below-{below}"
    async with af.Fabric(storage=storage) as fabric:
        counts = fabric.map(primes_in, range(0, below, BLOCK), job=name)
        total = sum(await counts)
        blocks = counts.stats.finished
        sieved = counts.stats.attempts
    print(f"{total:,} primes below {below:,}")
    print(f"{blocks} blocks; {blocks - min(sieved, blocks)} had been finished before")
    assert KNOWN.get(below, total) == total


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Count primes, as a job that can be killed.")
    parser.add_argument("directory", nargs="?", type=Path, default=Path("primes"))
    parser.add_argument("--below", type=int, default=10**8, help="a multiple of 200,000")
    given = parser.parse_args()
    if given.below < BLOCK or given.below % BLOCK:
        parser.error(f"--below has to be a multiple of {BLOCK:,}")
    where = os.environ.get("ASYNCFABRIC_STORAGE") or given.directory.absolute().as_uri()
    af.run(main(given.below, where))
