"""Calls that are cancelled while they, and their copies, run."""

import asyncio
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import Pareto, SimulatedCloud

from .programs import CALM, run, two_seconds
from .scenarios import EAGER

STUCK = CALM.but(slow=0.2, slowness=Pareto(50.0, 1.0, 50.0), failures=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_no_copy_of_a_cancelled_call_is_left(seed: int) -> None:
    cloud = SimulatedCloud(seed, STUCK, record=True)
    moment = 0.0

    async def use(fabric: af.Fabric) -> None:
        nonlocal moment
        calls = [fabric.submit(two_seconds, number) for number in range(40)]
        await asyncio.wait(calls, timeout=4.0)
        late = [call for call in calls if not call.done()]
        owner: Any = late[0]._owner
        assert any(owner.fan_out._copies.ever(call.index) > 1 for call in late)
        moment = cloud.now
        for call in late:
            call.cancel()
        assert owner.fan_out.idle
        assert not owner.fan_out._copies
        await asyncio.sleep(200)
        assert not fabric._core.bind()._flights

    run(cloud, use, hedge=EAGER, max_concurrency=100)
    assert not [record for record in cloud.ledger.records if record.asked > moment]
