"""The account's limit is cut to a fifth in the middle of a job."""

import asyncio
from statistics import mean

import pytest

from asyncfabric.testing import Profile, SimulatedCloud, spend

CALLS, SLOTS, SECONDS = 6000, 1000, 2.5
CUT_AT, LEFT = 8.0, 200


def work(index: int) -> int:
    spend(SECONDS)
    return index


@pytest.mark.parametrize("seed", range(3))
def test_a_limit_that_is_cut(seed: int) -> None:
    cloud = SimulatedCloud(seed, Profile.heavy())
    running: list[tuple[float, int]] = []

    async def watch() -> None:
        while True:
            running.append((cloud.now, cloud.running))
            await asyncio.sleep(0.25)

    async def main() -> list[int]:
        asyncio.get_running_loop().call_later(CUT_AT, setattr, cloud, "concurrency", LEFT)
        watching = asyncio.ensure_future(watch())
        try:
            async with cloud.fabric(max_concurrency=SLOTS) as fabric:
                return await fabric.map(work, range(CALLS), chunksize=1)
        finally:
            watching.cancel()

    assert cloud.run(main) == list(range(CALLS))
    assert cloud.ledger.total.throttled > 0
    assert cloud.ledger.total.invocations <= 1.3 * CALLS
    # Within 15 simulated seconds it uses nine tenths of what is left.
    after = [now for now in cloud.ledger.completed if now > CUT_AT + 15]
    assert len(after) > 5 * LEFT, "the job must go on for long enough to see it"
    settled = [count for now, count in running if CUT_AT + 15 <= now <= after[-5 * LEFT // 2]]
    assert mean(settled) >= 0.9 * LEFT
