"""Which words do Python programs use? A word count over the sources and texts on this machine.

    python examples/word_count.py
    python examples/word_count.py --below ~/src --size 4MiB --partitions 16

What it shows of asyncfabric:

- `af.bsp.chunks` packs thousands of small files into chunks of one size; the driver asks for their
  sizes and reads none of them.
- A mapper returns a `Counter`: counting is C code, and nothing runs in Python for single words.
- `combine=operator.add` adds up in the mapper, and a reducer gets one number for each word.
- `shuffle.stats` says how much went from worker to worker.
"""

import argparse
import heapq
import operator
import re
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import asyncfabric as af

SUFFIXES = {".py", ".pyi", ".md", ".rst", ".txt", ".html"}


def words(chunk: af.bsp.Chunk) -> Counter[bytes]:
    """Count the words of a chunk, of two letters or more."""
    return Counter(re.findall(rb"[a-z]{2,}", chunk.read().lower()))


def total(word: bytes, counts: Iterator[int]) -> tuple[int, str]:
    """Add up what the mappers counted."""
    return sum(counts), word.decode()


async def count(files: list[str], size: str, partitions: int, backend: str | None) -> None:
    """Count the words of files, given by URL, and say what came of it."""
    async with af.Fabric(backend) as fabric:
        begin = time.perf_counter()
        shuffle = af.bsp.shuffle(
            fabric,
            words,
            af.bsp.chunks(files, size=size),
            total,
            partitions=partitions,
            combine=operator.add,
        )
        found = [pair async for partition in shuffle for pair in partition]
        seconds = time.perf_counter() - begin
    print(f"{len(files):,} files in {seconds:.2f} s")
    print(f"{sum(number for number, _ in found):,} words, {len(found):,} different ones")
    print(f"{shuffle.stats.bytes / 1e6:.1f} MB from {shuffle.stats.mappers} mappers to reducers")
    for number, word in heapq.nlargest(15, found):
        print(f"{number:12,} {word}")


def texts(below: Path) -> Iterator[Path]:
    """Yield the sources and texts below a folder."""
    for path in below.expanduser().resolve().rglob("*.*"):
        if path.suffix in SUFFIXES and path.is_file():
            yield path


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description="count the words of programs and their texts")
    below = [Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("purelib"))]
    parser.add_argument("--below", type=Path, nargs="+", default=below)
    parser.add_argument("--size", default="8MiB", help="bytes of a chunk")
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    options = parser.parse_args()
    files = sorted({path for folder in options.below for path in texts(folder)})
    if not files:
        parser.error("there are no texts below that; give another --below")
    print(f"{sum(path.stat().st_size for path in files) / 1e6:.1f} MB")
    urls = [path.as_uri() for path in files]
    af.run(count(urls, options.size, options.partitions, options.backend))


if __name__ == "__main__":
    main()
