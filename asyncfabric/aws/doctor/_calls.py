"""The last check: a call, and another one."""

from __future__ import annotations

import operator
from time import perf_counter

from asyncfabric import Fabric
from asyncfabric._exceptions import FabricError

from ._finding import Finding

_CALLS = "calls"


async def check_calls(backend: str, storage: str) -> Finding:
    """Call a worker twice, by the way that programs take, and say how long it took."""
    try:
        async with Fabric(backend, storage=storage, max_concurrency=1) as fabric:
            first, cold = await _timed(fabric, 1)
            second, _ = await _timed(fabric, 2)
    except FabricError as error:
        says, _, advice = str(error).rpartition("; ")
        return Finding(_CALLS, "failed", says or advice, advice if says else "")
    how = "a cold start" if cold else "a warm worker"
    says = f"the first took {first * 1000:.0f} ms ({how}), the second {second * 1000:.0f} ms (warm)"
    return Finding(_CALLS, "ok", says)


async def _timed(fabric: Fabric, number: int) -> tuple[float, bool]:
    started = perf_counter()
    call = fabric.submit(operator.neg, number)
    answer = await call
    seconds = perf_counter() - started
    if answer != -number:
        msg = f"a worker says that -{number} is {answer!r}; deploy again"
        raise FabricError(msg)
    return seconds, call.attempts[-1].cold
