"""local-bytes: calls a second with 1 MiB in or out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from bench.goals import Goal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS, PEERS, load_adapter
from bench.peers.session import require
from bench.tables.base import DRIVER_CPU, OTHERS_CPU, PEAK_RSS, WALL, Metric, Table, same_work
from bench.work import MIB, identity, last_item, length, make_array

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.peers import Session
    from bench.tables.base import Plan
    from bench.work import Array

A = TypeVar("A")
R = TypeVar("R")

NAME = "local-bytes"
ARGUMENT = "1 MiB bytes argument"
RESULT = "1 MiB array result"
ARRAYS = "distinct 1 MiB array arguments"
_WORKS = (ARGUMENT, RESULT, ARRAYS)
_CALLS = 200
_FEW_CALLS = 30
_SMOKE_CALLS = 20
_WARM_UP = 8

_FULL: dict[str, tuple[str, ...]] = {
    OURS: ("submit", "map"),
    "ProcessPoolExecutor": ("submit",),
    "mp.Pool": ("imap",),
    "aiomultiprocess": ("map", "map-tuned"),
    "anyio.to_process": ("run_sync",),
    "loky": ("submit",),
    "joblib": ("parallel",),
    "ray": ("await",),
    "dask": ("submit",),
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return the three works for every way, and a short one for lithops."""
    cell = partial(Cell, table=NAME, loop=plan.loop)
    n = _SMOKE_CALLS if plan.smoke else _CALLS
    found = [
        cell(peer=peer, way=way, work=work, n=n)
        for work in _WORKS
        for peer, ways in _FULL.items()
        if not (plan.smoke and PEERS[peer].heavy)
        for way in ways
    ]
    if not plan.smoke:
        found += [
            cell(peer="ray", way="get", work=RESULT, n=n),
            cell(peer="lithops", way="map-tuned", work=RESULT, n=_FEW_CALLS),
            cell(peer=OURS, way="submit", work=RESULT, n=_FEW_CALLS),
        ]
    return found


async def measure(cell: Cell) -> Mapping[str, float]:
    """Run the cell's work once in a warmed-up session; check every result."""
    adapter = load_adapter(PEERS[cell.peer].module)
    require("numpy")
    async with adapter.connect(cell.way) as session:
        await session.run(identity, range(min(_WARM_UP, cell.n)))
        if cell.work == ARGUMENT:
            payloads = [bytes(MIB)] * cell.n
            meter = await _timed(session, length, payloads, [MIB] * cell.n, _same)
        elif cell.work == RESULT:
            numbers = range(cell.n)
            meter = await _timed(session, make_array, numbers, numbers, _array_of)
        else:
            arrays = [make_array(number) for number in range(cell.n)]
            meter = await _timed(session, last_item, arrays, range(cell.n), _same)
    return meter.metrics(cell.n)


async def _timed(
    session: Session,
    fn: Callable[[A], R],
    items: Sequence[A],
    expected: Sequence[int],
    right: Callable[[R, int], bool],
) -> Meter:
    await session.run(fn, items[:2])  # the function and numpy are known to the workers after this
    with Meter() as meter:
        results = await session.run(fn, items)
    if len(results) != len(items) or not all(map(right, results, expected)):
        message = f"{len(results)} results instead of {len(items)}, or wrong ones"
        raise AssertionError(message)
    return meter


def _same(result: object, expected: int) -> bool:
    return result == expected


def _array_of(result: object, expected: int) -> bool:
    array = cast("Array", result)
    return array.nbytes == MIB and bool((array == expected).all())


def _versus(work: str, peer: str, way: str, factor: float) -> Goal:
    return RatioGoal(
        text=f"{work} against {peer} ({way})",
        metric="rate",
        better="higher",
        ours=Side(way="submit", work=work, n=_CALLS),
        theirs=Side(peer=peer, way=way, work=work, n=_CALLS),
        factor=factor,
    )


TABLE = Table(
    name=NAME,
    title="Calls a second with 1 MiB in or out",
    about=(
        "All calls are submitted at once to two worker processes. Arguments: the same 1 MiB of "
        "bytes again and again, or a different 1 MiB numpy array each time; results: a new 1 MiB "
        "numpy array each. What goes the other way is a number."
    ),
    headline=Metric("rate", "calls/s", "rate", "higher"),
    columns=(WALL, DRIVER_CPU, OTHERS_CPU, PEAK_RSS),
    cells=cells,
    measure=measure,
    reference=same_work("submit"),
    goals=(
        _versus(ARGUMENT, "loky", "submit", 4),
        _versus(RESULT, "ray", "await", 2),
        _versus(RESULT, "ray", "get", 2),
    ),
    notes=(
        (
            "No peer is given its own way of sending a value once (ray.put, dask's scatter, our "
            "shared=): that would be other work."
        ),
        (
            "Ray's arrays are views of its shared memory and stay there; the other results are "
            "memory of the driver."
        ),
    ),
)
