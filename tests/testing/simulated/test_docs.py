"""The examples of docs/simulation.md run as they are."""

import asyncio
import re
import types
from pathlib import Path
from typing import Any

import asyncfabric as af
from asyncfabric.testing import SimulatedCloud

from .programs import CALM, run

_PAGE = Path(__file__).parents[3] / "docs" / "simulation.md"


def blocks() -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def test_the_first_example() -> None:
    module = types.ModuleType("first")
    exec(blocks()[0], vars(module))
    cloud = vars(module)["cloud"]
    assert cloud.ledger.total.attempts >= 8000
    assert 16 < cloud.ledger.makespan < 60


def test_the_example_of_progress() -> None:
    module: dict[str, Any] = {"af": af}
    exec("from asyncfabric.testing import spend\n" + blocks()[1], module)

    async def use(fabric: af.Fabric) -> int:
        return await fabric.submit(module["work"], 3)

    cloud = SimulatedCloud(1, CALM)
    assert run(cloud, use, heartbeats=True) == 9
    assert cloud.ledger.makespan > 20


def test_the_example_of_a_limit_that_changes() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def main() -> None:
        exec(blocks()[2], {"asyncio": asyncio, "cloud": cloud})
        await asyncio.sleep(11)

    cloud.run(main)
    assert cloud.concurrency == 200
