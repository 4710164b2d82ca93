"""What the cloud tables share: an endpoint with a peer ready on it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bench.fakes import BUCKET, REGION, running_endpoint
from bench.peers.cloud import Target, load_invoker
from bench.tables.base import Metric

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from bench.fakes import Endpoint
    from bench.model import Cell
    from bench.peers.cloud import Invoker

ENDPOINT_CPU = Metric("others_cpu_us", "endpoint CPU us/call", "us")
CONNECTIONS = Metric("connections", "connections", "bytes")
PEAK_IN_FLIGHT = Metric("peak_in_flight", "peak in flight", "bytes")

FAKE_NOTE = (
    "The endpoint is a fake of the benchmark's own in another process on the same machine (asyncio "
    "protocol, uvloop, httptools). It answers asyncfabric's envelopes with a worker's outcome and "
    "Lithops' payloads with the worker's status object; to bare invocations it gives 130 bytes of "
    "JSON. Nothing here was measured on AWS."
)
LITHOPS_NOTE = (
    "Lithops signs and sends its own requests; only the host in them is replaced, and the "
    "deployment of its function is left out. It invokes by event and finds results by listing the "
    "bucket, on the same endpoint."
)


def target(endpoint: Endpoint, in_flight: int) -> Target:
    """Return what a peer needs to know of an endpoint."""
    return Target(endpoint.url, endpoint.plain_url, BUCKET, REGION, in_flight, endpoint.certificate)


@asynccontextmanager
async def connected(
    cell: Cell, in_flight: int, *, tls: bool = False
) -> AsyncGenerator[tuple[Endpoint, Invoker]]:
    """Start an endpoint that answers at once, and the peer of a cell on it."""
    adapter = load_invoker(cell.peer, cell.way)
    with running_endpoint(tls=tls) as endpoint:
        async with adapter.connect(cell.way, target(endpoint, in_flight)) as invoker:
            yield endpoint, invoker


async def invoke_all(invoker: Invoker, n: int) -> None:
    """Make `n` invocations; raise if one of them was lost or answered wrongly."""
    good = await invoker.invoke(n)
    if good != n:
        message = f"{n - good} of {n} invocations lost or answered wrongly"
        raise AssertionError(message)
