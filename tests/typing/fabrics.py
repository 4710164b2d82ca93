"""What Fabrics, decorated functions and `run` are typed as. Checked, never run."""

import asyncio
from typing import assert_type

import asyncfabric as af
from asyncfabric.reporting import Report
from tests.typing.functions import price


@af.function(timeout=5.0, retry=af.Retry(on=(OSError,)), hedge=af.Hedge(), weight=2)
def decorated(seed: int, *, scale: float = 1.0) -> float:
    """Keep its type."""
    return seed * scale


@af.function(idempotent=False)
async def decorated_coroutine_function(text: str) -> int:
    return len(text)


async def decorated_functions(fabric: af.Fabric) -> None:
    assert_type(decorated(1, scale=2.0), float)
    assert_type(await fabric.submit(decorated, 1, scale=2.0), float)
    assert_type(await fabric.map(decorated, [1]), list[float])
    assert_type(await decorated_coroutine_function("x"), int)
    assert_type(await fabric.submit(decorated_coroutine_function, "x"), int)
    assert_type(await fabric.map(decorated_coroutine_function, ["x"]), list[int])


async def fabrics() -> float:
    async with af.Fabric() as fabric:
        assert_type(fabric, af.Fabric)
        quick = fabric.with_options(timeout=1.0, weight=2.0, secrets={"DSN": "env:DSN"})
        assert_type(quick, af.Fabric)
        assert_type(fabric.with_options(hedge=None, retry=None, idempotent=False), af.Fabric)
        assert_type(fabric.report(), Report)
        assert_type(fabric.report().calls, af.MapStats)
        assert_type(fabric.report().limit, int | None)
        await quick.aclose(drain=1)
    async with af.Fabric(
        "local://?processes=2",
        storage="memory://",
        max_concurrency=2,
        max_pending=10,
        timeout=3.0,
        retry=af.Retry(attempts=5, on=(ConnectionError, TimeoutError), base=1, cap=5.0),
        hedge=af.Hedge(factor=2, least=1, copies=2),
        limit=af.Limit(start=10, patience=300),
        idempotent=True,
        env={"OMP_NUM_THREADS": "1"},
    ) as fabric:
        return await fabric.submit(price, 1)


class Special(af.Fabric):
    """A class of the user's own keeps its type."""


async def subclasses() -> None:
    async with Special() as fabric:
        assert_type(fabric, Special)
        assert_type(fabric.with_options(weight=2), Special)


async def futures(fabric: af.Fabric) -> None:
    """A Call goes wherever an asyncio.Future goes."""
    call = fabric.submit(price, 1)
    assert_type(await asyncio.wait_for(call, 1), float)
    assert_type(await asyncio.shield(call), float)
    future: asyncio.Future[float] = call
    assert_type(await asyncio.gather(call, future), tuple[float, float])


def main() -> None:
    assert_type(af.run(fabrics()), float)
