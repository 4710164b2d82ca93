"""The account's limits are cut to a fifth in the middle of a job."""

import asyncio
from statistics import mean

import pytest

from asyncfabric.testing import Profile, SimulatedCloud, spend

SLOTS, LEFT, SECONDS = 1000, 200, 2.5
RECOVERED = 15.0
"""Simulated seconds after which the driver has to use nine tenths of what is left."""


def work(index: int) -> int:
    spend(SECONDS)
    return index


def short(index: int) -> int:
    spend(0.05)
    return index


@pytest.mark.parametrize(
    ("seed", "cut_at", "calls"), [(0, 0.3, 4000), (1, 3.0, 4500), (2, 8.0, 6000)]
)
def test_concurrency_that_is_cut(seed: int, cut_at: float, calls: int) -> None:
    cloud = SimulatedCloud(seed, Profile.heavy())
    running: list[tuple[float, int]] = []

    async def watch() -> None:
        while True:
            running.append((cloud.now, cloud.running))
            await asyncio.sleep(0.25)

    async def main() -> list[int]:
        asyncio.get_running_loop().call_later(cut_at, setattr, cloud, "concurrency", LEFT)
        watching = asyncio.ensure_future(watch())
        try:
            async with cloud.fabric(max_concurrency=SLOTS) as fabric:
                return await fabric.map(work, range(calls), chunksize=1)
        finally:
            watching.cancel()

    assert cloud.run(main) == list(range(calls))
    assert cloud.ledger.total.throttled > 0
    assert cloud.ledger.total.invocations <= 1.3 * calls
    after = [now for now in cloud.ledger.completed if now > cut_at + RECOVERED]
    assert len(after) > 5 * LEFT, "the job must go on for long enough to see it"
    last = after[-5 * LEFT // 2]
    settled = [count for now, count in running if cut_at + RECOVERED <= now <= last]
    assert mean(settled) >= 0.9 * LEFT


@pytest.mark.parametrize(("seed", "per_environment"), [(0, 10.0), (1, 2.0)])
def test_a_request_rate_that_is_cut(seed: int, per_environment: float) -> None:
    """Short calls meet the request rate, which goes with the concurrency, before that itself."""
    profile = Profile.default().but(concurrency=50, requests_per_environment=per_environment)
    cloud = SimulatedCloud(seed, profile, history=True)
    cut_at, left = 5.0, 10
    rate = left * per_environment
    calls = int(5 * 5 * rate + 30 * rate)

    async def main() -> list[int]:
        asyncio.get_running_loop().call_later(cut_at, setattr, cloud, "concurrency", left)
        async with cloud.fabric(max_concurrency=50) as fabric:
            return await fabric.map(short, range(calls), chunksize=1)

    assert cloud.run(main) == list(range(calls))
    assert "throttled FunctionInvocationRateLimitExceeded" in str(cloud.history)
    assert cloud.ledger.total.invocations <= 1.3 * calls
    since, until = cut_at + RECOVERED, cloud.ledger.completed[-1] - 1
    assert until - since > 5, "the job must go on for long enough to see it"
    done = sum(since <= now < until for now in cloud.ledger.completed)
    assert done >= 0.9 * rate * (until - since)
