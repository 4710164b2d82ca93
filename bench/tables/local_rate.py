"""local-rate: trivial calls a second, two workers, each row N calls from first to last result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals import Goal, LimitGoal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS, PEERS, load_adapter
from bench.tables.base import DRIVER_CPU, OTHERS_CPU, PEAK_RSS, WALL, Metric, Table, same_work
from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers import Session
    from bench.tables.base import Plan

NAME = "local-rate"
WORK = "trivial calls"
SIZES = (10_000, 100_000, 1_000_000)

# Which sizes each way is measured at: those it finishes in some seconds on two cores. Ours has
# every size that any peer has, so that there is always a row of ours with the same work.
_LITHOPS = (4, 200)
_SLOW = 3_000
_FULL: dict[str, dict[str, tuple[int, ...]]] = {
    OURS: {
        "submit": (*_LITHOPS, _SLOW, *SIZES),
        "as_completed": (10_000, 100_000),
        "map": SIZES,
    },
    "ProcessPoolExecutor": {
        "submit": (10_000, 100_000),
        "map": (10_000,),
        "map-chunked": SIZES,
    },
    "mp.Pool": {"imap": (10_000, 100_000), "map": SIZES, "apply_async": (10_000,)},
    "aiomultiprocess": {
        "apply": (10_000,),
        "map": (10_000, 100_000),
        "map-tuned": (10_000, 100_000),
    },
    "anyio.to_process": {"run_sync": (10_000,)},
    "loky": {"submit": (10_000,), "map-chunked": (10_000, 100_000)},
    "joblib": {"parallel": (10_000, 100_000), "batched": (10_000, 100_000)},
    "ray": {"await": (_SLOW,), "get": (_SLOW,)},
    "dask": {"submit": (_SLOW,), "map": (_SLOW,)},
    "lithops": {"map": _LITHOPS[:1], "map-tuned": _LITHOPS[1:]},
}
_SMOKE_SIZE = 2_000
_STOCK_SIZE = 100_000
_WARM_UP = 64


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every way at its sizes, and ours beside the standard library's on the stock loop."""
    if plan.smoke:
        return [
            Cell(table=NAME, peer=peer.name, way=way, work=WORK, n=_SMOKE_SIZE, loop=plan.loop)
            for peer in PEERS.values()
            if not peer.heavy
            for way in _FULL.get(peer.name, ())
        ]
    found = [
        Cell(table=NAME, peer=peer, way=way, work=WORK, n=n, loop=plan.loop)
        for peer, ways in _FULL.items()
        for way, sizes in ways.items()
        for n in sizes
    ]
    if plan.loop != "stock":
        found += [cell.on("stock") for cell in found if cell.peer == OURS and cell.n == _STOCK_SIZE]
    return found


async def measure(cell: Cell) -> Mapping[str, float]:
    """Run the calls once in a started and warmed-up session; check every result."""
    adapter = load_adapter(PEERS[cell.peer].module)
    async with adapter.connect(cell.way) as session:
        await session.run(identity, range(min(_WARM_UP, cell.n)))
        return (await timed_run(session, cell.n)).metrics(cell.n)


async def timed_run(session: Session, n: int) -> Meter:
    """Run `n` trivial calls under a meter; raise if a result is missing or wrong."""
    with Meter() as meter:
        results = await session.run(identity, range(n))
    if len(results) != n or sum(results) != n * (n - 1) // 2:
        message = f"{len(results)} results instead of {n}, or wrong ones"
        raise AssertionError(message)
    return meter


def _ours(way: str, n: int) -> Side:
    return Side(way=way, work=WORK, n=n)


def _versus(peer: str, way: str, n: int, factor: float) -> Goal:
    """A rate goal of `submit`, our way with one awaitable a call, against a row of a peer."""
    return RatioGoal(
        text=f"rate at {n:,} calls against {peer} ({way})",
        metric="rate",
        better="higher",
        ours=_ours("submit", n),
        theirs=Side(peer=peer, way=way, work=WORK, n=n),
        factor=factor,
    )


def _linear(way: str, n: int) -> Goal:
    """Linear in N: at `n` calls no less than 0.8 of the rate at 100,000."""
    return RatioGoal(
        text=f"linear in N: rate of {way} at {n:,} against its rate at 100,000",
        metric="rate",
        better="higher",
        ours=_ours(way, n),
        theirs=_ours(way, 100_000),
        factor=0.8,
    )


TABLE = Table(
    name=NAME,
    title="Trivial calls a second on one machine",
    about=(
        "N calls of a function that returns its argument, two worker processes, from the first "
        "submission until the last result is in the driver's hands. Started and warmed up before "
        "the clock runs; every result is checked after it stopped."
    ),
    headline=Metric("rate", "calls/s", "rate", "higher"),
    columns=(WALL, DRIVER_CPU, OTHERS_CPU, PEAK_RSS),
    cells=cells,
    measure=measure,
    reference=same_work("submit"),
    goals=(
        LimitGoal(
            text="calls a second at 100,000 calls, each with an awaitable of its own (submit)",
            metric="rate",
            better="higher",
            ours=_ours("submit", 100_000),
            limit=100_000,
            unit="calls/s",
        ),
        _versus("ProcessPoolExecutor", "submit", 100_000, 10),
        _versus("aiomultiprocess", "map", 100_000, 4),
        _versus("aiomultiprocess", "map-tuned", 100_000, 4),
        _versus("mp.Pool", "imap", 100_000, 2.5),
        _versus("ray", "await", _SLOW, 60),
        _versus("ray", "get", _SLOW, 60),
        _versus("dask", "submit", _SLOW, 150),
        _versus("dask", "map", _SLOW, 150),
        _linear("submit", 1_000_000),
        _linear("map", 1_000_000),
    ),
    notes=(
        (
            "`each` marks the ways that hand out one awaitable a call; the others give only the "
            "whole list, or block the event loop while they run, which an asyncio program could "
            "not accept."
        ),
        (
            "Slow peers are measured only at a size that they finish in seconds; nothing is "
            "extrapolated, and ratios are given only between rows of the same N on the same "
            "loop."
        ),
        (
            "Chunked ways send a thousand calls a message: fast, but a call's result waits for "
            "its whole chunk and there is no awaitable for it."
        ),
        (
            "aiomultiprocess `apply` has a coroutine a call that looks for its result every 5 "
            "ms: its time grows faster than N."
        ),
    ),
)
