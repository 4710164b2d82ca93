"""What the type checkers must refuse of `asyncfabric.jobs`; marked as in calls.py."""

import asyncfabric as af
from tests.typing.functions import fetch, price


async def launch(fabric: af.Fabric) -> None:
    await af.jobs.launch(fabric, price, [1], job="a")
    await af.jobs.launch(fabric, price, [1])  # error
    await af.jobs.launch(fabric, price, ["1"], job="a")  # error
    await af.jobs.launch(fabric, fetch, [1], job="a")  # error
    await af.jobs.launch(fabric, price, [1], job="a", results="both")  # error
    await af.jobs.launch(fabric, price, [1], job="a", return_exceptions=True)  # error
    await af.jobs.launch("lambda://x", price, [1], job="a")  # error


async def others(fabric: af.Fabric) -> int:
    await af.jobs.attach(fabric)  # error
    await af.jobs.attach(3, "a")  # error
    await af.jobs.show(fabric)  # error
    await af.jobs.gc(fabric, 60)  # error
    for value in af.jobs.attach(fabric, "a"):  # error
        print("never", value is None)
    return await af.jobs.list(fabric)  # error
