"""storage: objects written and read, 64 in flight, by CPU second of the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.fakes import running_endpoint
from bench.goals import Goal, RatioGoal, Side
from bench.meter import Meter
from bench.model import Cell
from bench.peers import OURS, PEERS
from bench.peers.cloud import load_objects
from bench.tables.base import DRIVER_CPU, PEAK_RSS, WALL, Metric, Table, same_work
from bench.tables.cloud import target
from bench.work import MIB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.tables.base import Plan

NAME = "storage"
_IN_FLIGHT = 64
_SMALL, _LARGE = 1024, 64 * MIB
_BYTES = {
    "put 1 KiB": _SMALL,
    "get 1 KiB": _SMALL,
    "put 64 MiB": _LARGE,
    "get 64 MiB": _LARGE,
}
_N = {_SMALL: 5_000, _LARGE: 16}
_SMOKE_N = {_SMALL: 200, _LARGE: 1}
_WARM_UP = 64
_WAYS = {
    OURS: ("store",),
    "obstore": ("objects",),
    "aiobotocore": ("objects", "objects-tuned"),
    "boto3": ("objects",),
    "lithops": ("storage",),
}


def cells(plan: Plan) -> Sequence[Cell]:
    """Return every peer at every operation; in a smoke run mostly ours."""
    sizes = _SMOKE_N if plan.smoke else _N
    found = [
        Cell(
            table=NAME, peer=peer, way=way, work=work, n=sizes[size], loop=plan.loop, timeout_s=180
        )
        for work, size in _BYTES.items()
        for peer, ways in _WAYS.items()
        for way in ways
    ]
    return [cell for cell in found if not plan.smoke or _in_smoke(cell)]


def _in_smoke(cell: Cell) -> bool:
    if cell.peer == OURS:
        return True
    return cell.way != "objects-tuned" and cell.work == "get 1 KiB" and not PEERS[cell.peer].heavy


async def measure(cell: Cell) -> Mapping[str, float]:
    """Write objects, or read those written before, on warm connections."""
    adapter = load_objects(cell.peer)
    data = bytes(_BYTES[cell.work])
    reads = cell.work.startswith("get")
    size = 0
    keys = [f"object/{number:06}" for number in range(cell.n)]
    with running_endpoint() as endpoint:
        async with adapter.connect(cell.way, target(endpoint, _IN_FLIGHT)) as objects:
            warm = [f"warm/{number}" for number in range(_WARM_UP)]
            await objects.put(warm, b"warm")
            await objects.get(warm)
            if reads:
                await objects.put(keys, data)
            endpoint.reset()
            with Meter() as meter:
                if reads:
                    size = await objects.get(keys)
                else:
                    await objects.put(keys, data)
            counts = endpoint.counts()
    if not reads:
        size = counts.object_bytes
    if size != len(data) * cell.n:
        message = f"{size} bytes instead of {len(data) * cell.n}"
        raise AssertionError(message)
    return meter.metrics(cell.n) | {
        "per_cpu_s": cell.n / meter.driver_cpu_s,
        "mib_per_cpu_s": size / MIB / meter.driver_cpu_s,
        "requests_per_object": counts.object_requests / cell.n,
    }


def _versus(way: str, work: str) -> Goal:
    n = _N[_BYTES[work]]
    return RatioGoal(
        text=f"{work}, objects a CPU second against aiobotocore ({way})",
        metric="per_cpu_s",
        better="higher",
        ours=Side(way="store", work=work, n=n),
        theirs=Side(peer="aiobotocore", way=way, work=work, n=n),
        factor=4,
    )


TABLE = Table(
    name=NAME,
    title="Objects written and read, by CPU of the driver",
    about=(
        "N objects, at most 64 in flight, on warm connections to one endpoint, by plain HTTP: how "
        "many of them a second of the driver's processor time is enough for, all threads counted. "
        "Small objects show what a request costs, large ones what moving bytes costs."
    ),
    headline=Metric("per_cpu_s", "objects/CPU s", "rate", "higher"),
    columns=(
        Metric("mib_per_cpu_s", "MiB/CPU s", "rate", "higher"),
        Metric("rate", "objects/s", "rate", "higher"),
        WALL,
        DRIVER_CPU,
        Metric("others_cpu_us", "endpoint CPU us/object", "us"),
        Metric("requests_per_object", "requests/object", "number"),
        PEAK_RSS,
    ),
    cells=cells,
    measure=measure,
    reference=same_work("store"),
    goals=(
        *(_versus("objects-tuned", work) for work in ("put 1 KiB", "get 1 KiB")),
        *(_versus("objects", work) for work in ("put 1 KiB", "get 1 KiB")),
    ),
    notes=(
        (
            "The endpoint is a fake S3 of the benchmark's own, in memory, in another process on "
            "the same machine. It checks neither signatures nor digests, and sends none."
        ),
        "Of the large objects there are 16, all in flight at once; 64 would be 4 GiB.",
        "obstore is the library that asyncfabric's store stands on: its row is the limit.",
    ),
)
