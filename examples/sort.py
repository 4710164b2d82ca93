"""Sorting records larger than the workers' memory, and proving that they are sorted.

    python examples/sort.py                            # 1 GB, 256 MiB a worker
    python examples/sort.py --megabytes 100 --memory 32MiB

The records are those of the sort benchmark (sortbenchmark.org): 100 bytes, of which the first 10
are a random key. What it shows of asyncfabric:

- `af.bsp.sort` samples the keys, deals the records out to partitions and sorts each of these, all
  in NumPy: no Python code runs for single records.
- `af.bsp.validate` does what valsort does: order within and across the sorted objects, number of
  records, and a checksum that is the same before and after if nothing was lost or changed.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import asyncfabric as af

RECORD = 100
RECORDS_A_FILE = 640_000


def generate(place: tuple[str, int, int]) -> None:
    """Write a file of random keys, each followed by its record's number and filling."""
    path, first, count = place
    rows = np.full((count, RECORD), ord("."), dtype=np.uint8)
    rows[:, :10] = af.current().rng().integers(0, 256, (count, 10), dtype=np.uint8)
    rows[:, 10:18] = np.arange(first, first + count, dtype=">u8").view(np.uint8).reshape(-1, 8)
    rows.tofile(path)


async def run(megabytes: int, memory: str, backend: str | None) -> None:
    """Make the records, sort them, look at them."""
    count = megabytes * 1_000_000 // RECORD
    with tempfile.TemporaryDirectory(prefix="sort-") as name:
        folder = Path(name)
        source, destination = (folder / each for each in ("unsorted", "sorted"))
        source.mkdir()
        files = [
            (str(source / f"{first:012}"), first, min(RECORDS_A_FILE, count - first))
            for first in range(0, count, RECORDS_A_FILE)
        ]
        async with af.Fabric(backend) as fabric:
            await fabric.map(generate, files, seed=1)
            begin = time.perf_counter()
            found = await af.bsp.sort(
                fabric, source.as_uri(), destination.as_uri(), record=RECORD, memory=memory
            )
            seconds = time.perf_counter() - begin
            before = await af.bsp.validate(fabric, source.as_uri(), record=RECORD)
            after = await af.bsp.validate(fabric, destination.as_uri(), record=RECORD)
    print(f"{found.records:,} records, {found.bytes / 1e6:,.0f} MB, sorted in {seconds:.2f} s")
    print(f"{len(found.parts)} objects; {after.duplicates} records have the key of another one")
    assert after.ordered
    assert (after.records, after.checksum) == (before.records, before.checksum)
    print(f"checked: in order, and the same records (checksum {after.checksum:016x})")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="sort records of 100 bytes")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--memory", default="256MiB", help="of a worker")
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    if options.megabytes < 1:
        parser.error("there is nothing to sort in less than a megabyte")
    af.run(run(options.megabytes, options.memory, options.backend))


if __name__ == "__main__":
    main()
