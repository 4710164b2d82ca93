"""A word count and a sort as large as the paper's on the simulated cloud.

The planning is asyncfabric's own code (`_Sort`, `Shuffle`: chunks, splitters, layout, tasks, the
stage in between), and so are driver, hedging and the order and number of reads. What workers do
with the bytes is replaced: they make the same requests, for objects without content, and spend the
time that the work was measured to take.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import asyncfabric as af
from asyncfabric.bsp import _shuffle, _sort
from asyncfabric.bsp._plan import Planner
from asyncfabric.testing import SimulatedCloud, spend
from asyncfabric_runtime._bsp._fetch import Range
from asyncfabric_runtime._bsp._mapper import Exchange
from asyncfabric_runtime._bsp._piece import Piece
from asyncfabric_runtime._bsp._records import Rule
from asyncfabric_runtime._bsp._sorting import PLACE_BYTES, PLACES, Format
from asyncfabric_runtime._bsp._task import Task
from bench.simulations.hollow import Hollow, ends, read_all, shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric.bsp import Chunk
    from asyncfabric.testing import Profile
    from asyncfabric_runtime._bsp._sorting import Order
    from asyncfabric_runtime._bsp._task import Packed

MIB = 1024 * 1024
WIDTH, KEY = 100, 10

DEAL, SORT, REGROUP = 350e6, 200e6, 1e9
"""Bytes a second of one core: half of what was measured on the core of the other tables."""
COUNT, MERGE = 6e6, 2e6
"""Bytes of text that are counted, and of the pairs that are merged, in a second by Python."""
_GIGABYTE_SECOND, _INVOCATION, _GET, _PUT = 0.0000166667, 0.2e-6, 0.4e-6, 5e-6
"""Dollars, us-east-1, x86; listings cost as writes do, deletes nothing."""


class Ran(NamedTuple):
    """What a run came to.

    Attributes:
        seconds: from the first invocation to the last result.
        phases: seconds of each stage, by name.
        gets: reads of the store.
        puts: writes and listings.
        refused: requests that the store answered 503.
        invocations: of the function.
        gigabyte_seconds: of the function.
    """

    seconds: float
    phases: dict[str, float]
    gets: int
    puts: int
    refused: int
    invocations: int
    gigabyte_seconds: float

    @property
    def dollars(self) -> float:
        """What it costs."""
        return (
            self.gigabyte_seconds * _GIGABYTE_SECOND
            + self.invocations * _INVOCATION
            + self.gets * _GET
            + self.puts * _PUT
        )


class _Sample:
    def __init__(self, form: Format) -> None:
        self._width = form.width

    async def __call__(self, chunk: Chunk) -> bytes:
        store, piece = Hollow(af.current().store), chunk.pieces[0]
        for number in range(PLACES):
            start = piece.start + number * PLACE_BYTES
            await store.get(piece.key, start=start, end=start + PLACE_BYTES)
        draw = random.Random(af.current().index)
        return draw.randbytes(KEY * PLACES * (PLACE_BYTES // self._width))


class _Deal:
    def __init__(self, form: Format, splitters: Sequence[bytes], prefix: str, memory: int) -> None:
        self._width, self._count = form.width, len(splitters) + 1
        self._prefix, self._memory = prefix, memory

    async def __call__(self, chunk: Chunk) -> tuple[str, bytes, bytes]:
        here = af.current()
        store = Hollow(here.store)
        ranges = [Range(n, p.key, p.start, p.end) for n, p in enumerate(chunk.pieces)]
        size = await read_all(store, ranges, self._memory // 8)
        spend(size / DEAL)
        name = f"{here.attempt}-{here.index}"
        await store.put(f"{self._prefix}{name}", size)
        return (
            name,
            ends(shares(size, self._count, here.index, self._width)),
            bytes(4 * self._count),
        )


class _Regroup:
    def __init__(self, prefix: str, memory: int) -> None:
        self._prefix, self._memory = prefix, memory

    async def __call__(self, packed: Packed) -> str:
        here = af.current()
        store = Hollow(here.store)
        size = await read_all(store, Task(*packed).ranges(self._prefix), self._memory // 8)
        spend(size / REGROUP)
        name = f"{here.attempt}-{here.index}g"
        await store.put(f"{self._prefix}{name}", size)
        return name


class _SortOne:
    def __init__(self, form: Format, prefix: str, destination: str, memory: int) -> None:
        self._width, self._prefix = form.width, prefix
        self._destination, self._memory = destination, memory

    async def __call__(self, order: Order) -> tuple[str, int, int]:
        packed, _, key, _ = order
        store = Hollow(af.current().store)
        size = await read_all(store, Task(*packed).ranges(self._prefix), self._memory // 8)
        spend(size / SORT)
        await store.put(f"{self._destination}/{key}", size)
        return key, size // self._width, size


def sort(
    profile: Profile, size: int, workers: int, memory: int, function_mib: int, seed: int = 1
) -> Ran:
    """Sort so many bytes, in objects of 1 GB, on so many workers."""
    form = Format(WIDTH, KEY)
    cloud = SimulatedCloud(seed, profile, record=True)
    chunks = _chunks(size, memory // 4, Rule(delimiter=b"", width=WIDTH))

    async def main() -> int:
        async with cloud.fabric(max_concurrency=workers, memory=function_mib) as fabric:
            work = _sort._Sort(fabric, form, "sorted", memory)  # noqa: SLF001 - its plan is meant
            parts = await work.run(chunks)
            await work.clean(done=True)
        return sum(part.bytes for part in parts)

    stand_ins: dict[str, Any] = {
        "Sampler": _Sample,
        "Dealer": _Deal,
        "Regrouper": _Regroup,
        "Sorter": _SortOne,
    }
    with mock.patch.multiple(_sort, **stand_ins):
        done = cloud.run(main)
    if done != size:
        message = f"{done} bytes were sorted, not {size}"
        raise AssertionError(message)
    return _account(cloud, ("sample", "deal", "regroup", "sort"))


class _Map:
    def __init__(self, exchange: Exchange, pairs: int) -> None:
        self._exchange, self._pairs = exchange, pairs

    def function(self) -> None:
        """Have no options of its own."""

    async def __call__(self, chunk: Chunk) -> tuple[str, bytes]:
        here, exchange = af.current(), self._exchange
        store = Hollow(here.store)
        ranges = [Range(n, p.key, p.start, p.end) for n, p in enumerate(chunk.pieces)]
        spend(await read_all(store, ranges, exchange.memory // 8) / COUNT)
        name = f"{here.attempt}-{here.index}"
        await store.put(f"{exchange.prefix}{name}", self._pairs)
        return name, ends(shares(self._pairs, exchange.partitions, here.index))


class _Reduce:
    output = None

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def function(self) -> None:
        """Have no options of its own."""

    async def __call__(self, packed: Packed) -> list[int]:
        task = Task(*packed)
        ranges = task.ranges(self._exchange.prefix)
        size = await read_all(Hollow(af.current().store), ranges, self._exchange.memory // 8)
        spend(size / MERGE)
        return [size] + [0] * (task.length - 1)


def count_words(
    profile: Profile, size: int, partitions: int, pairs: int, function_mib: int, seed: int = 1
) -> Ran:
    """Count the words of so many bytes of text.

    Args:
        profile: how the cloud behaves.
        size: bytes of text.
        partitions: of the input, of the result; and workers.
        pairs: bytes that a mapper writes, after combining and compressing.
        function_mib: memory of the function.
        seed: of all chances.
    """
    exchange = Exchange("shuffle/simulated/", partitions, max, 1024 * MIB)
    cloud = SimulatedCloud(seed, profile, record=True)
    chunks = _chunks(size, -(-size // partitions), Rule(text=True), -(-size // partitions))

    async def main() -> int:
        async with cloud.fabric(max_concurrency=partitions, memory=function_mib) as fabric:
            mapper: Any = _Map(exchange, pairs)
            reducer: Any = _Reduce(exchange)
            shuffle: Any = _shuffle.Shuffle(fabric, mapper, reducer, chunks, exchange)
            return sum(await shuffle)

    with mock.patch.object(_shuffle, "Regrouper", _Regroup):
        done = cloud.run(main)
    if done != pairs * len(chunks):
        message = f"{done} bytes were merged, not {pairs * len(chunks)}"
        raise AssertionError(message)
    return _account(cloud, ("map", "regroup", "reduce"))


def _chunks(size: int, most: int, rule: Rule, object_bytes: int = 10**9) -> list[Chunk]:
    """Plan the chunks of objects that there are only on paper."""
    planner = Planner(most, rule)
    found: list[Chunk] = []
    for number, start in enumerate(range(0, size, object_bytes)):
        own = min(object_bytes, size - start)
        found += planner.add(Piece("memory://source", f"source/{number:05}", 0, own, own))
    return [*found, *planner.end()]


def _account(cloud: SimulatedCloud, names: Sequence[str]) -> Ran:
    ledger, total = cloud.ledger, cloud.ledger.total
    jobs = sorted({record.job for record in ledger.records})
    if len(jobs) == len(names) - 1:  # one level was enough
        names = [name for name in names if name != "regroup"]
    begins = [min(r.asked for r in ledger.records if r.job == job) for job in jobs]
    phases = [b - a for a, b in zip(begins, [*begins[1:], ledger.last], strict=True)]
    return Ran(
        ledger.makespan,
        dict(zip(names, phases, strict=True)),
        ledger.requests["get"] + ledger.requests["head"],
        ledger.requests["put"] + ledger.requests["list"],
        ledger.refused["503"],
        total.invocations,
        total.gigabyte_seconds,
    )
