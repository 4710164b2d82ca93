"""What tests of launched jobs have in common: functions that leave marks, and waiting."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncfabric as af
from asyncfabric.testing import LambdaFront

Left = Callable[[int], Any]


async def ended(front: LambdaFront, executions: int) -> None:
    """Wait until so many invocations have begun, counted from here, and all have ended."""
    await front.until(lambda counters: counters.executions >= executions and not counters.running)


async def attached(where: Any, **options: Any) -> list[Any]:
    """All results; exceptions by their text."""
    found = await af.jobs.attach(where, "job", return_exceptions=True, **options)
    return [str(each) if isinstance(each, Exception) else each for each in found]


# Functions in here are local: they travel by value, so that no test waits for an archive of all
# tests.


def make_square() -> Left:
    def square(x: int) -> int:
        return x * x

    return square


def make_square_async() -> Left:
    async def square(x: int) -> int:
        await asyncio.sleep(0)
        return x * x

    return square


square = make_square()


def noting(directory: str) -> Left:
    """What leaves a mark; marks of one name count up. See `noted`."""

    def note(name: object) -> None:
        for number in range(1_000):
            try:
                open(f"{directory}/{name}.{number}", "x").close()  # noqa: PTH123
            except FileExistsError:
                continue
            return

    return note


def marking(directory: str) -> Left:
    note = noting(directory)

    def work(x: int) -> int:
        note(x)
        return 10 * x

    return work
