"""simulated-stages: a word count and a sort as large as the paper's, on the simulated cloud."""

from __future__ import annotations

import asyncio
from time import process_time
from typing import TYPE_CHECKING

from asyncfabric.testing import Profile
from asyncfabric.testing._simulated._profile import StoreProfile
from bench.goals import Goal, RatioGoal, Side
from bench.model import Cell
from bench.peers import OURS
from bench.simulations.stages import MIB, Ran, count_words, sort
from bench.tables.base import Metric, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "simulated-stages"
WAY = "simulated-stages"
_UNLIMITED = StoreProfile().but(reads_per_second=1e9, writes_per_second=1e9)
STORES = {
    "S3": StoreProfile(),
    "S3 without a limit of requests": _UNLIMITED,
    "S3 Express": StoreProfile.express(),
}
COUNT, SORT = "83.68 M reviews", "1 TB"
_REVIEWS_BYTES = 58_300_000_000
_PAIRS_BYTES = 8_000_000
_TERABYTE = 10**12
_PARTITIONS = 333
# Memory of a worker's data, and of its function: three cores, and about two.
_SORTS = {1000: (4096 * MIB, 6144), 3000: (1365 * MIB, 3008)}
_LEFT_OUT = ("S3", 3000)
_SMOKE_BYTES = 10**10


def _work(what: str, store: str) -> str:
    return f"{what}, {store}"


def cells(plan: Plan) -> Sequence[Cell]:
    """Return the runs; N is the number of workers at a time."""
    if plan.smoke:
        return [Cell(table=NAME, peer=OURS, way=WAY, work=_work("10 GB", "S3"), n=10)]
    runs = [(COUNT, store, _PARTITIONS) for store in list(STORES)[:2]]
    runs += [
        (SORT, store, workers)
        for workers in _SORTS
        for store in STORES
        if (store, workers) != _LEFT_OUT
    ]
    return [
        Cell(table=NAME, peer=OURS, way=WAY, work=_work(what, store), n=n, timeout_s=3600)
        for what, store, n in runs
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Simulate it once."""
    began = process_time()
    ran = await asyncio.to_thread(_run, cell)  # a simulation has an event loop of its own
    return {
        "seconds": ran.seconds,
        **{f"{name}_s": seconds for name, seconds in ran.phases.items()},
        "gets": float(ran.gets),
        "puts": float(ran.puts),
        "refused": float(ran.refused),
        "invocations": float(ran.invocations),
        "gigabyte_seconds": ran.gigabyte_seconds,
        "dollars": ran.dollars,
        "cpu_s": process_time() - began,
    }


def _run(cell: Cell) -> Ran:
    what, _, store = cell.work.partition(", ")
    profile = Profile.default().but(concurrency=max(1000, cell.n), store=STORES[store])
    if what == COUNT:
        return count_words(profile, _REVIEWS_BYTES, cell.n, _PAIRS_BYTES, 1769)
    if what == SORT:
        return sort(profile, _TERABYTE, cell.n, *_SORTS[cell.n])
    return sort(profile, _SMOKE_BYTES, cell.n, 1024 * MIB, 1769)


def _side(what: str, store: str, n: int) -> Side:
    return Side(way=WAY, work=_work(what, store), n=n)


def _unbound(what: str, n: int, store: str) -> Goal:
    return RatioGoal(
        text=f"{what}, {n} workers, {store}: not bound by requests, within 1.1x of no limit",
        metric="seconds",
        better="lower",
        ours=_side(what, store, n),
        theirs=_side(what, "S3 without a limit of requests", n),
        factor=1 / 1.1,
    )


TABLE = Table(
    name=NAME,
    title="A word count and a sort of a terabyte, simulated",
    about=(
        "N workers at a time on `asyncfabric.testing.SimulatedCloud`, ordinary profile "
        "(docs/simulation.md). The planning is asyncfabric's own: chunks, splitters, which object "
        "holds what, which ranges are read together, the stage in between, hedged reads, parts of "
        "large objects; so are driver, scheduler and copies of slow calls. What workers do with "
        "the bytes is modelled: requests for objects without content, and time of computing."
    ),
    headline=Metric("seconds", "simulated s", "number"),
    columns=(
        Metric("sample_s", "sample s", "number"),
        Metric("deal_s", "deal out s", "number"),
        Metric("map_s", "map s", "number"),
        Metric("regroup_s", "regroup s", "number"),
        Metric("sort_s", "sort s", "number"),
        Metric("reduce_s", "reduce s", "number"),
        Metric("gets", "GETs", "rate"),
        Metric("puts", "PUTs", "rate"),
        Metric("refused", "of them 503", "rate"),
        Metric("invocations", "invocations", "rate"),
        Metric("gigabyte_seconds", "GB-seconds", "rate"),
        Metric("dollars", "dollars", "number"),
        Metric("cpu_s", "real CPU s of driver and simulation", "number"),
    ),
    cells=cells,
    measure=measure,
    reference=lambda _: None,
    goals=(
        _unbound(SORT, 1000, "S3"),
        _unbound(SORT, 3000, "S3 Express"),
        _unbound(COUNT, _PARTITIONS, "S3"),
    ),
    notes=(
        (
            "Modelled: a core deals out 350 MB/s and sorts 200 MB/s, half of what was measured on "
            "the machine of the `sort` table; it copies 1 GB/s, counts the words of 6 MB/s of text "
            "and merges 2 MB/s of counts in Python. An environment has 75 MB/s of network after a "
            "burst of 300 MB. Keys are evenly distributed; the word count is of 58.3 GB of text "
            "(assumed: 700 bytes a review), of which each of 333 mappers makes 8 MB of counts."
        ),
        (
            "Stages follow each other: where a stage's time is more than its transfer (its bytes "
            "over N x 75 MB/s, read and written) and its computing, requests were refused, workers "
            "were slow or environments still started."
        ),
        (
            "S3 is one fresh prefix: 5,500 reads and 3,500 writes a second, for the source too. "
            "It divides a prefix only after minutes of that. 3,000 workers need 2 x 3,000 x "
            "sqrt(3,000) reads for an exchange of two levels, more than a minute of them: that row "
            "is left out, as simulating its refused requests had not ended after 45 minutes."
        ),
        (
            "Dollars: Lambda's GB-seconds and invocations, S3's requests at S3 Standard's prices, "
            "us-east-1. Express has other prices for requests and bytes, which are not in it."
        ),
        "Workers have 6,144 MiB (1,000), 3,008 MiB (3,000) and 1,769 MiB (word count).",
    ),
    once=True,
)
