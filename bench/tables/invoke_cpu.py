"""invoke-cpu: driver CPU of one invocation, 64 and 1,000 of them in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals import Goal, LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS, PEERS
from bench.tables.base import DRIVER_CPU, PEAK_RSS, WALL, Metric, Table, same_work
from bench.tables.cloud import (
    CONNECTIONS,
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

NAME = "invoke-cpu"
_AT_ONCE = "64 in flight, answered at once"
_HELD = "1,000 in flight, held 100 ms"
_IN_FLIGHT = {_AT_ONCE: 64, _HELD: 1_000}
_HOLD = {_AT_ONCE: 0.0, _HELD: 0.1}
_N, _FEW = 20_000, 2_000
_SMOKE_CALLS = 300

_WAYS: dict[str, dict[str, tuple[int, ...]]] = {
    OURS: {"lambda-map": (_FEW, _N), "transport": (_FEW, _N)},
    "aiobotocore": {"invoke": (_FEW,), "invoke-tuned": (_FEW,)},
    "aiohttp": {"post": (_FEW,)},
    "boto3": {"invoke-threads": (_FEW,)},
    "lithops": {"lambda-map": (_FEW,), "lambda-map-tuned": (_FEW,)},
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every peer at both numbers in flight."""
    return [
        Cell(table=NAME, peer=peer, way=way, work=work, n=n, loop=plan.loop, timeout_s=180)
        for work in _IN_FLIGHT
        for peer, ways in _WAYS.items()
        if not (plan.smoke and (PEERS[peer].heavy or (work == _HELD and peer != OURS)))
        for way, sizes in ways.items()
        for n in ([_SMOKE_CALLS] if plan.smoke else sizes)
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Invoke as often as is measured to warm up connections and limits, then measure."""
    async with connected(cell, _IN_FLIGHT[cell.work]) as (endpoint, invoker):
        endpoint.set(hold=_HOLD[cell.work])
        await invoke_all(invoker, min(cell.n, 2 * _IN_FLIGHT[cell.work]))
        endpoint.reset()
        with Meter() as meter:
            await invoke_all(invoker, cell.n)
        counts = endpoint.counts()
    return meter.metrics(cell.n) | {
        "requests_per_call": counts.requests / cell.n,
        "request_bytes": counts.request_bytes / max(1, counts.requests),
        "peak_in_flight": counts.peak_in_flight,
        "connections": counts.connections,
    }


def _limit(work: str, limit: float) -> Goal:
    return LimitGoal(
        text=f"driver CPU of a call, the whole path, {work}",
        metric="driver_cpu_us",
        better="lower",
        ours=Side(way="lambda-map", work=work, n=_N),
        limit=limit,
        unit="us",
    )


def _versus(peer: str, way: str, work: str, factor: float) -> Goal:
    return RatioGoal(
        text=f"driver CPU of a call, {work}, against {peer} ({way})",
        metric="driver_cpu_us",
        better="lower",
        ours=Side(way="lambda-map", work=work, n=_FEW),
        theirs=Side(peer=peer, way=way, work=work, n=_FEW),
        factor=factor,
    )


TABLE = Table(
    name=NAME,
    title="Driver CPU of one Lambda invocation",
    about=(
        "N invocations of one small call each, on warm connections: process time of the driver, "
        "with all of its threads, a call. asyncfabric `lambda-map` and Lithops run the whole way "
        "from a Python function and its arguments to a list of its results; the others only post "
        "150 bytes and read the answer."
    ),
    headline=DRIVER_CPU,
    columns=(
        WALL,
        ENDPOINT_CPU,
        PEAK_IN_FLIGHT,
        CONNECTIONS,
        Metric("request_bytes", "payload bytes", "bytes"),
        Metric("requests_per_call", "requests/call", "number"),
        PEAK_RSS,
    ),
    cells=cells,
    measure=measure,
    reference=same_work("lambda-map"),
    goals=(
        _limit(_HELD, 60),
        _limit(_AT_ONCE, 60),
        *(
            _versus(peer, way, work, factor)
            for work in _IN_FLIGHT
            for peer, way, factor in (
                ("aiobotocore", "invoke-tuned", 10),
                ("lithops", "lambda-map", 35),
                ("lithops", "lambda-map-tuned", 35),
            )
        ),
    ),
    notes=(
        FAKE_NOTE,
        LITHOPS_NOTE,
        "boto3 has 64 threads and 64 connections whatever is in flight: more make it slower.",
    ),
)
