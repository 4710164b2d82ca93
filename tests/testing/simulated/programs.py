"""Functions whose time is simulated, and a cloud on which nothing happens by chance."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import asyncfabric as af
from asyncfabric.testing import Profile, SimulatedCloud, Spread, spend

CALM = Profile.calm().but(noise=0.0, overhead=Spread(0.02, 0.02), cold_start=Spread(0.5, 0.5))

Use = Callable[[af.Fabric], Coroutine[Any, Any, Any]]


def two_seconds(x: int) -> int:
    spend(2.0)
    return x * x


def quick(x: int) -> int:
    spend(0.01)
    return x


def total_length(*bodies: bytes) -> int:
    return sum(map(len, bodies))


def talk(x: int) -> int:
    print("call", x)
    spend(1.0)
    return x


async def patient(x: int) -> int:
    await asyncio.sleep(3.0)
    spend(0.5)
    return x


def too_long(_: int) -> None:
    spend(200.0)
    spend(200.0)


def stubborn(_: int) -> str:
    try:
        spend(400.0)
    except BaseException:  # noqa: BLE001
        return "caught"
    return "not reached"


def uses_a_loop(x: int) -> int:
    return asyncio.run(asyncio.sleep(0, x))


def plus(x: int, *, table: bytes) -> int:
    spend(1.0)
    return x + len(table)


def echo(x: bytes) -> bytes:
    spend(1.0)
    return x


def run(cloud: SimulatedCloud, use: Use, **options: Any) -> Any:
    async def main() -> Any:
        async with cloud.fabric(**options) as fabric:
            return await use(fabric)

    return cloud.run(main)
