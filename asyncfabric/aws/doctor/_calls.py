"""The last check: a call, and another one."""

from __future__ import annotations

import operator
from time import perf_counter
from typing import TYPE_CHECKING

from asyncfabric import Fabric
from asyncfabric._exceptions import FabricError

from ._finding import Finding

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore


async def check_calls(backend: str, storage: ObjectStore) -> Finding:
    """Call a worker twice, by the way that programs take, and say how long it took."""
    async with Fabric(backend, storage=storage, max_concurrency=1) as fabric:
        first, cold = await _timed(fabric, 1)
        second, _ = await _timed(fabric, 2)
    how = "a cold start" if cold else "a warm worker"
    says = f"the first took {first * 1000:.0f} ms ({how}), the second {second * 1000:.0f} ms (warm)"
    return Finding("calls", "ok", says)


async def _timed(fabric: Fabric, number: int) -> tuple[float, bool]:
    started = perf_counter()
    call = fabric.submit(operator.neg, number)
    answer = await call
    seconds = perf_counter() - started
    if answer != -number:
        msg = f"a worker says that -{number} is {answer!r}; deploy again"
        raise FabricError(msg)
    return seconds, call.attempts[-1].cold
