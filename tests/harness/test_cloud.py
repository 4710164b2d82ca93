"""What the cloud tables share, and that each of their rows has somebody to measure it."""

import asyncio
from importlib.util import find_spec

import pytest

from bench.peers.cloud import INVOKERS, OBJECTS, pump, pump_threads
from bench.tables import TABLES, Plan
from bench.tables.cloud import invoke_all

FULL = Plan(smoke=False, loop="uvloop")


@pytest.mark.parametrize("name", ["invoke-cpu", "held", "lambda-e2e"])
def test_every_row_that_invokes_has_an_adapter(name: str) -> None:
    for cell in TABLES[name].cells(FULL):
        assert find_spec(f"bench.peers.{INVOKERS[cell.peer, cell.way]}")


def test_every_row_of_objects_has_an_adapter() -> None:
    for cell in TABLES["storage"].cells(FULL):
        assert find_spec(f"bench.peers.{OBJECTS[cell.peer]}")


async def test_pump_does_everything_within_its_bound() -> None:
    running = peak = 0

    async def work(item: int) -> int:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return item * 2

    results = await pump(work, range(20), 3)
    assert sorted(results) == [item * 2 for item in range(20)]
    assert peak == 3


async def test_threads_do_everything() -> None:
    assert await pump_threads(str, range(5), 2) == ["0", "1", "2", "3", "4"]


class Forgetful:
    async def invoke(self, n: int) -> int:
        return n - 2


async def test_a_lost_call_fails_the_row() -> None:
    with pytest.raises(AssertionError, match="2 of 10"):
        await invoke_all(Forgetful(), 10)
