"""held: ten thousand invocations held for two seconds, from the first launch to the last answer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from bench.goals import Goal, LimitGoal, Side
from bench.meter import Meter, rss
from bench.model import Cell
from bench.peers import OURS
from bench.tables.base import DRIVER_CPU, WALL, Metric, Table, same_work
from bench.tables.cloud import ENDPOINT_CPU, FAKE_NOTE, PEAK_IN_FLIGHT, connected, invoke_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "held"
COLD = "plain, cold"
WARM = "plain, warm"
TLS_COLD = "TLS, cold"
TLS_WARM = "TLS, warm"
_N = 10_000
_HOLD = 2.0
_WARM_UP_SECONDS = 30.0  # for all to be in flight at once, on as many connections
_SMOKE_CALLS, _SMOKE_HOLD = 100, 0.2
_WAYS = {
    OURS: ("lambda-map", "transport"),
    "aiobotocore": ("invoke-tuned",),
    "aiohttp": ("post",),
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every peer on cold and warm connections; a smoke run is without TLS."""
    works = (COLD, WARM) if plan.smoke else (COLD, WARM, TLS_COLD, TLS_WARM)
    return [
        Cell(
            table=NAME,
            peer=peer,
            way=way,
            work=work,
            n=_SMOKE_CALLS if plan.smoke else _N,
            loop=plan.loop,
            timeout_s=180,
        )
        for work in works
        for peer, ways in _WAYS.items()
        if not (plan.smoke and peer == "aiobotocore")
        # It would be minutes of handshakes for each of them.
        if peer == OURS or work in {COLD, WARM}
        for way in ways
    ]


async def measure(cell: Cell) -> Mapping[str, float]:
    """Hold all calls at once, after a single call, or after a round that made the connections."""
    hold = _SMOKE_HOLD if cell.n == _SMOKE_CALLS else _HOLD
    tls = cell.work in {TLS_COLD, TLS_WARM}
    async with connected(cell, cell.n, tls=tls) as (endpoint, invoker):
        await invoke_all(invoker, 1)
        gc.collect()
        base = rss()
        if cell.work in {WARM, TLS_WARM}:
            endpoint.set(hold=_WARM_UP_SECONDS, together=cell.n)
            await invoke_all(invoker, cell.n)
        endpoint.set(hold=hold)
        endpoint.reset()
        with Meter() as meter:
            await invoke_all(invoker, cell.n)
        counts = endpoint.counts()
    return meter.metrics(cell.n) | {
        "beyond_s": meter.wall_s - hold,
        "launch_s": counts.last - counts.first,
        "kb_per_call": (meter.peak_rss - base) / cell.n / 1024,
        "peak_in_flight": counts.peak_in_flight,
        "connections": counts.connections,
        "handshakes": counts.handshakes,
        "resumed": counts.resumed,
    }


def _goal(text: str, metric: str, work: str, limit: float, unit: str) -> Goal:
    return LimitGoal(
        text=f"{text}, {work}",
        metric=metric,
        better="lower",
        ours=Side(way="lambda-map", work=work, n=_N),
        limit=limit,
        unit=unit,
    )


TABLE = Table(
    name=NAME,
    title="Ten thousand invocations held at once",
    about=(
        "N invocations, all in flight at once, each held for two seconds by the endpoint. `beyond "
        "s` is the time from the first launch to the last answer less those two seconds. `cold`: "
        "one connection is open before; `warm`: a round of as many has opened them all. Memory is "
        "the driver's peak while all are held, less what it had with that one connection, a call."
    ),
    headline=Metric("beyond_s", "beyond s", "number"),
    columns=(
        Metric("launch_s", "first to last arrival s", "number"),
        Metric("kb_per_call", "KB/call", "number"),
        DRIVER_CPU,
        ENDPOINT_CPU,
        PEAK_IN_FLIGHT,
        Metric("connections", "connections made", "bytes"),
        Metric("handshakes", "TLS handshakes", "bytes"),
        Metric("resumed", "of them resumed", "bytes"),
        WALL,
    ),
    cells=cells,
    measure=measure,
    reference=same_work("lambda-map"),
    goals=(
        _goal("launch and drain beyond the hold", "beyond_s", COLD, 2, "s"),
        _goal("launch and drain beyond the hold", "beyond_s", WARM, 2, "s"),
        _goal("driver memory of a held call", "kb_per_call", COLD, 15, "KB"),
        _goal("driver memory of a held call", "kb_per_call", WARM, 15, "KB"),
    ),
    notes=(
        FAKE_NOTE,
        (
            "Driver and endpoint share the machine's cores: over TLS, half of every handshake is "
            "the endpoint's. The peers' TLS rows are left out: aiohttp took 33 s for the cold one."
        ),
        (
            "The certificate is on P-256; Lambda's own is RSA, which costs a client less to check "
            "and a server more to sign."
        ),
    ),
)
