"""A web service whose requests fan out on one shared Fabric, and stop when nobody listens.

    python examples/service.py --port 8000
    curl 'http://127.0.0.1:8000/estimate?samples=100000000&seed=7'      # pi, by counting points

What it shows of asyncfabric:

- One Fabric for the whole application, opened and closed by its lifespan. Maps that run at the same
  time take turns, so that a small request doesn't wait for the end of a large one.
- A client that goes away cancels its request: nothing more is launched for it, and what runs for it
  on the workers is stopped.
- `max_pending` bounds the calls that `submit` accepts. A service that has enough to do says so, by
  `Saturated` and status 503, instead of letting a queue grow.
- Shutting down ends the workers, after a few seconds even where a request would take hours.
"""

import argparse
import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request

import asyncfabric as af

BLOCK = 100_000  # points of one call
Samples = Annotated[int, Query(gt=0, le=10**12)]
Seed = Annotated[int, Query(ge=0)]
T = TypeVar("T")


def hits(seed: int, block: int, points: int) -> int:
    """Count how many of some random points of the unit square are in the circle."""
    rng = np.random.default_rng([seed, block])
    counted = 0
    for start in range(0, points, BLOCK):
        x, y = rng.random((2, min(BLOCK, points - start)))
        counted += int(np.count_nonzero(x * x + y * y < 1))
    return counted


async def while_connected(request: Request, work: Awaitable[T], stats: Counter[str]) -> T:
    """Await some work; cancel it when the client goes away."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(disconnected())
    stats["running"] += 1
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        stats["answered" if working.done() else "stopped"] += 1
        if not working.done():
            raise HTTPException(499, "the client closed the connection")  # for the log
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait((working, watching))
        stats["running"] -= 1


def make_app(backend: str | None = None, max_pending: int = 100) -> FastAPI:
    """Make the application. Its Fabric starts with it: constructing one does nothing yet."""
    fabric = af.Fabric(backend, max_pending=max_pending)
    stats = Counter[str]()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with fabric:
            yield

    app = FastAPI(lifespan=lifespan)

    async def pi(samples: int, seed: int) -> dict[str, float]:
        starts = enumerate(range(0, samples, BLOCK))
        blocks = ((seed, i, min(BLOCK, samples - start)) for i, start in starts)
        inside = 0
        async with fabric.starmap(hits, blocks, ordered=False) as stream:
            async for found in stream:
                inside += found
                stats["calls"] += 1
        share = inside / samples
        return {"pi": 4 * share, "standard_error": 4 * (share * (1 - share) / samples) ** 0.5}

    @app.get("/estimate")
    async def estimate(request: Request, samples: Samples, seed: Seed = 0) -> dict[str, float]:
        """Estimate pi; many calls, as many as there are blocks of points."""
        return await while_connected(request, pi(samples, seed), stats)

    @app.get("/hits")
    async def one_call(request: Request, samples: Samples, seed: Seed = 0) -> dict[str, int]:
        """Count points; a single call, if there aren't too many of them already."""
        try:
            call = fabric.submit(hits, seed, 0, samples)
        except af.Saturated as error:
            raise HTTPException(503, str(error), {"Retry-After": "1"}) from error
        return {"hits": await while_connected(request, call, stats)}

    @app.get("/stats")
    async def show_stats() -> dict[str, int]:
        """Tell how many requests run, were answered or stopped, and how many calls were made."""
        return {name: stats[name] for name in ("running", "answered", "stopped", "calls")}

    _ = estimate, one_call, show_stats  # they are the application's now
    return app


def main() -> None:
    """Serve on the loopback interface until told to stop."""
    parser = argparse.ArgumentParser(description="a service that fans its requests out")
    parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")
    parser.add_argument("--backend", metavar="URL", help="default: local://, this machine's cores")
    parser.add_argument("--max-pending", type=int, default=100)
    parser.add_argument("--grace", type=int, default=5, help="seconds for requests at shutdown")
    options = parser.parse_args()
    uvicorn.run(
        make_app(options.backend, options.max_pending),
        port=options.port,
        timeout_graceful_shutdown=options.grace,
    )


if __name__ == "__main__":
    main()
