"""lambda-e2e: a map of calls of 100 ms, from the call of `map` to the list of results."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench.goals import Goal, LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS
from bench.tables.base import DRIVER_CPU, PEAK_RSS, Metric, Table, same_work
from bench.tables.cloud import (
    ENDPOINT_CPU,
    FAKE_NOTE,
    LITHOPS_NOTE,
    PEAK_IN_FLIGHT,
    connected,
    invoke_all,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "lambda-e2e"
GOOD = "calls of 100 ms"
THROTTLED = "the same, 5% refused with 429"
_THROTTLED_SHARE = 0.05
_HOLD = 0.1
_SLOTS = 1_000
_SIZES = (1, 100, 1_000, 5_000)
_MANY = _SIZES[-1]
_SMOKE_SIZES = (1, 100)
_WAYS = {
    OURS: ("lambda-map",),
    "aiobotocore": ("invoke-tuned",),
    "lithops": ("lambda-map", "lambda-map-tuned"),
}
_TIMEOUT_S = 60.0


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every size of good weather, and the largest with refusals for those who retry."""
    sizes = _SMOKE_SIZES if plan.smoke else _SIZES
    return [
        Cell(table=NAME, peer=peer, way=way, work=work, n=n, loop=plan.loop, timeout_s=_TIMEOUT_S)
        for peer, ways in _WAYS.items()
        if not (plan.smoke and peer != OURS)
        for way in ways
        for work, ns in ((GOOD, sizes), (THROTTLED, sizes[-1:]))
        if work == GOOD or peer != "aiobotocore"  # tuned, it has no retries
        for n in ns
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Make one call from nothing, then measure the map on what that has started."""
    before = time.perf_counter()
    async with connected(cell, _SLOTS) as (endpoint, invoker):
        endpoint.set(hold=_HOLD)
        started = time.perf_counter()
        await invoke_all(invoker, 1)
        first_s = time.perf_counter() - started
        endpoint.set(hold=_HOLD, throttled=_THROTTLED_SHARE if cell.work == THROTTLED else 0)
        endpoint.reset()
        with Meter() as meter:
            good = await invoker.invoke(cell.n)
        counts = endpoint.counts()
    if good != cell.n:
        message = f"{cell.n - good} of {cell.n} calls lost"
        raise AssertionError(message)
    waves = -(-cell.n // _SLOTS)
    return meter.metrics(cell.n) | {
        "beyond_ms": (meter.wall_s - waves * _HOLD) * 1e3,
        "start_ms": (started - before) * 1e3,
        "first_ms": first_s * 1e3,
        "throttled": counts.throttled,
        "peak_in_flight": counts.peak_in_flight,
        "object_requests": counts.object_requests,
    }


def _faster(work: str, way: str) -> Goal:
    return RatioGoal(
        text=f"time to the end of {_MANY:,} {work}, against lithops ({way})",
        metric="wall_s",
        better="lower",
        ours=Side(way="lambda-map", work=work, n=_MANY),
        theirs=Side(peer="lithops", way=way, work=work, n=_MANY),
        factor=4,
    )


TABLE = Table(
    name=NAME,
    title="A map on Lambda, end to end",
    about=(
        f"N calls of 100 ms with at most {_SLOTS:,} in flight, from the call of `map` to the list "
        "of results, on a driver that has made one call before (its time is in a column). `beyond "
        "ms` is what it took beyond the calls themselves, run in waves of as many as there may be. "
        "Every result is checked; a row with a call lost would have failed."
    ),
    headline=Metric("wall_s", "wall s", "number"),
    columns=(
        Metric("beyond_ms", "beyond ms", "ms"),
        Metric("first_ms", "first call ms", "ms"),
        DRIVER_CPU,
        ENDPOINT_CPU,
        PEAK_IN_FLIGHT,
        Metric("throttled", "429s", "bytes"),
        Metric("object_requests", "storage requests", "bytes"),
        PEAK_RSS,
    ),
    cells=cells,
    measure=measure,
    reference=same_work("lambda-map"),
    goals=(
        LimitGoal(
            text="one call, beyond the endpoint's own 100 ms",
            metric="beyond_ms",
            better="lower",
            ours=Side(way="lambda-map", work=GOOD, n=1),
            limit=10,
            unit="ms",
        ),
        _faster(GOOD, "lambda-map"),
        _faster(GOOD, "lambda-map-tuned"),
        LimitGoal(
            text=f"all of {_MANY:,} calls done with 5% of 429s (429s met)",
            metric="throttled",
            better="higher",
            ours=Side(way="lambda-map", work=THROTTLED, n=_MANY),
            limit=1,
            unit="429s",
        ),
    ),
    notes=(
        FAKE_NOTE,
        LITHOPS_NOTE,
        "aiobotocore's rows are bare invocations, for the time that the calls themselves take.",
        f"A row that did not end within {_TIMEOUT_S:g} s is given up and listed as a timeout.",
    ),
)
