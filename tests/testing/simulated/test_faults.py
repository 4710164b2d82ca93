"""Limits, faults, stragglers, the store, and what they cost."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric._dispatch import Dispatcher
from asyncfabric.testing import Pareto, Profile, SimulatedCloud, StoreProfile, Uniform
from asyncfabric_runtime import Outcome

from .programs import CALM, echo, plus, quick, run, total_length, two_seconds

# limits


def throttled(profile: Profile, n: int = 40, **options: Any) -> SimulatedCloud:
    cloud = SimulatedCloud(1, profile)

    async def use(fabric: af.Fabric) -> None:
        assert await fabric.map(two_seconds, range(n), chunksize=1) == [x * x for x in range(n)]

    run(cloud, use, retry=None, hedge=None, max_concurrency=n, **options)
    return cloud


def test_the_accounts_concurrency() -> None:
    total = throttled(CALM.but(concurrency=10)).ledger.total
    assert total.throttled > 0
    assert total.attempts == 40
    assert total.cold_starts == 10


def test_environments_start_so_fast_and_no_faster() -> None:
    cloud = throttled(CALM.but(environments_at_once=10, environments_per_second=1.0), 400)
    assert cloud.ledger.total.throttled > 0
    assert 10 < cloud.ledger.total.cold_starts <= 10 + cloud.now


def reasons(cloud: SimulatedCloud) -> set[str]:
    lines = str(cloud.history).splitlines()
    return {line.split()[2] for line in lines if line.split()[1] == "throttled"}


@pytest.mark.parametrize(
    ("profile", "function", "reserved", "reason"),
    [
        (CALM.but(concurrency=5), two_seconds, None, "ConcurrentInvocationLimitExceeded"),
        (CALM.but(environments_at_once=5), two_seconds, None, "ConcurrentInvocationLimitExceeded"),
        (CALM, two_seconds, 5, "ReservedFunctionConcurrentInvocationLimitExceeded"),
        (
            CALM.but(requests_per_environment=0.02),
            two_seconds,
            None,
            "FunctionInvocationRateLimitExceeded",
        ),
        (
            CALM.but(requests_per_environment=0.4),
            quick,
            50,
            "ReservedFunctionInvocationRateLimitExceeded",
        ),
    ],
)
def test_reasons(
    profile: Profile, function: Callable[[int], int], reserved: int | None, reason: str
) -> None:
    cloud = SimulatedCloud(1, profile, history=True)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(function, range(200), chunksize=1)

    run(cloud, use, max_concurrency=50, reserved=reserved)
    assert reasons(cloud) == {reason}


def test_very_short_calls_meet_the_request_rate() -> None:
    """Ten a second for each invocation at a time, and a second's requests at once."""
    cloud = SimulatedCloud(1, CALM.but(concurrency=20))

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(quick, range(2000), chunksize=1)

    run(cloud, use, max_concurrency=20)
    assert cloud.ledger.total.throttled > 0
    assert cloud.ledger.total.attempts == 2000
    assert cloud.ledger.makespan > (2000 - 200) / 200


def test_refusals_without_a_reason_of_ones_own_are_of_each_kind() -> None:
    cloud = SimulatedCloud(1, CALM.but(throttles=0.2), history=True)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(two_seconds, range(100), chunksize=1)

    run(cloud, use)
    assert reasons(cloud) == {
        "CallerRateLimitExceeded",
        "ConcurrentInvocationLimitExceeded",
        "FunctionInvocationRateLimitExceeded",
    }


def test_reserved_concurrency() -> None:
    cloud = throttled(CALM, reserved=5)
    assert cloud.ledger.total.cold_starts == 5
    assert cloud.ledger.total.throttled > 0


def test_what_one_function_reserves_others_lack() -> None:
    cloud = SimulatedCloud(1, CALM.but(concurrency=10))

    async def main() -> None:
        async with cloud.fabric(function="first", reserved=8) as first, cloud.fabric() as other:
            await asyncio.gather(
                asyncio.wait_for(first.map(two_seconds, range(8), chunksize=1), None),
                asyncio.wait_for(other.map(two_seconds, range(8), chunksize=1), None),
            )

    cloud.run(main)
    first, other = cloud.ledger.functions["first"], cloud.ledger.functions["worker"]
    assert (first.throttled, first.cold_starts) == (0, 8)
    assert other.throttled > 0
    assert other.cold_starts == 2
    assert cloud.ledger.total.attempts == 16


def test_the_limit_may_change_in_mid_run() -> None:
    cloud = SimulatedCloud(1, CALM)

    async def main() -> None:
        asyncio.get_running_loop().call_later(3.0, setattr, cloud, "concurrency", 5)
        async with cloud.fabric(max_concurrency=50) as fabric:
            await fabric.map(two_seconds, range(200), chunksize=1)

    cloud.run(main)
    assert cloud.concurrency == 5
    assert cloud.ledger.total.throttled > 0
    assert cloud.ledger.total.attempts == 200
    # 100 calls in the first two waves, then five at a time.
    assert cloud.ledger.makespan > 2 * 100 / 5


def test_random_refusals() -> None:
    total = throttled(CALM.but(throttles=0.3, retry_after=1.0), 100).ledger.total
    assert total.throttled > 10
    assert total.attempts == 100


# faults and costs


def faulty(n: int = 400, **changes: Any) -> SimulatedCloud:
    cloud = SimulatedCloud(3, CALM.but(**changes), record=True)

    async def use(fabric: af.Fabric) -> None:
        assert await fabric.map(two_seconds, range(n), chunksize=1) == [x * x for x in range(n)]

    retry = af.Retry(attempts=10)
    run(cloud, use, max_concurrency=50, retry=retry, hedge=None, memory=1024)
    return cloud


def test_environments_that_fail() -> None:
    cloud = faulty(failures=0.05)
    total = cloud.ledger.total
    assert 5 < total.failed < 50
    assert total.attempts == 400 + total.failed
    lost = [record for record in cloud.ledger.records if record.outcome.startswith("failed")]
    assert {record.outcome for record in lost} == {
        "failed service",
        "failed gateway",
        "failed worker",
    }
    assert all(record.ended - record.began < 2.0 for record in lost)
    assert len(cloud.ledger.completed) == 400


@pytest.mark.parametrize("silently", [0.0, 1.0])
def test_answers_that_are_lost(silently: float) -> None:
    cloud = faulty(lost=0.05, lost_silently=silently, silence=60.0)
    total = cloud.ledger.total
    assert 5 < total.lost < 50
    assert total.attempts == 400 + total.lost
    assert total.billed_seconds == pytest.approx(2 * total.attempts + 0.5 * total.cold_starts)
    assert (cloud.ledger.makespan > 60) == bool(silently)


def test_duplicates_are_run_and_billed() -> None:
    total = faulty(duplicates=0.1).ledger.total
    assert 20 < total.duplicates < 80
    assert total.attempts == total.served == 400 + total.duplicates
    assert total.invocations == 400


def test_slow_environments() -> None:
    cloud = faulty(slow=0.1, slowness=Pareto(3.0, 1.5, 5.0))
    slow = [record for record in cloud.ledger.records if record.slow > 1]
    assert 20 < len(slow) < 80
    for record in slow:
        assert 3.0 <= record.slow <= 5.0
        assert record.ended - record.began == pytest.approx(2.0 * record.slow)


def test_the_ledger_is_the_sum_of_its_attempts() -> None:
    cloud = faulty(failures=0.02, lost=0.02, duplicates=0.1, slow=0.1, throttles=0.1)
    total, records = cloud.ledger.total, cloud.ledger.records
    assert total.billed_seconds == pytest.approx(sum(record.billed for record in records))
    assert total.gigabyte_seconds == pytest.approx(total.billed_seconds)
    assert total.attempts == sum(record.calls for record in records)
    assert total.invocations == total.served - total.duplicates + total.throttled


def test_an_answer_may_come_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Dispatcher.on_outcome
    flights: list[int] = []

    def note(dispatcher: Dispatcher, outcome: Outcome, worker: str, size: int) -> None:
        flights.append(outcome.flight)
        take(dispatcher, outcome, worker, size)

    monkeypatch.setattr(Dispatcher, "on_outcome", note)
    cloud = faulty(duplicates=0.5, slow=0.5, slowness=Uniform(1, 3), failures=0.1)
    assert len(flights) > 1.2 * 400
    assert len(cloud.ledger.completed) == 400


def test_calls_that_a_lost_environment_began() -> None:
    cloud = SimulatedCloud(1, CALM.but(failures=0.5), record=True)

    async def use(fabric: af.Fabric) -> None:
        await fabric.map(two_seconds, range(400), chunksize=10, return_exceptions=True)

    run(cloud, use, hedge=None)
    for record in cloud.ledger.records:
        took = record.ended - record.began
        if record.outcome.startswith("failed"):
            assert record.calls == took // 2 + 1
        else:
            assert record.calls == len(record.indices) == len(record.attempts)
        assert record.asked < record.began
    assert cloud.ledger.total.attempts == sum(record.calls for record in cloud.ledger.records)


# the store


def test_large_payloads_go_through_the_store() -> None:
    cloud = SimulatedCloud(1, CALM)
    body = bytes(1_000_000)

    async def use(fabric: af.Fabric) -> None:
        assert await fabric.map(echo, [body] * 3, chunksize=1) == [body] * 3
        assert await fabric.map(plus, [1, 2], shared={"table": body}) == [1_000_001, 1_000_002]
        refs = await fabric.map(two_seconds, range(3), results="ref")
        assert [await ref.get() for ref in refs] == [0, 1, 4]
        await asyncio.sleep(10)
        assert [info.key async for info in fabric.store.list("spill")] == []

    run(cloud, use)
    assert cloud.ledger.requests["put"] == 3 + 3 + 1 + 3
    assert cloud.ledger.requests["delete"] == 3 + 3


def test_too_many_requests_are_refused() -> None:
    cloud = SimulatedCloud(1, CALM.but(store=StoreProfile(writes_per_second=10)))

    async def main() -> None:
        await asyncio.gather(*(cloud.store.put(f"{n}", b"x") for n in range(100)))

    cloud.run(main)
    assert cloud.ledger.refused["503"] > 0
    assert cloud.now > 8


def test_a_prefix_is_divided_in_time() -> None:
    cloud = SimulatedCloud(1, CALM.but(store=StoreProfile(writes_per_second=10)))

    async def main() -> list[int]:
        refused: list[int] = []
        for _ in range(2):
            before = cloud.ledger.refused["503"]
            for _ in range(900):
                await asyncio.gather(*(cloud.store.put(f"{n}", b"x") for n in range(15)))
                await asyncio.sleep(1.0 - cloud.now % 1.0)
            refused.append(cloud.ledger.refused["503"] - before)
        return refused

    first, second = cloud.run(main)
    assert first > 1000
    assert second == 0


def test_a_pause_puts_its_division_off() -> None:
    cloud = SimulatedCloud(1, CALM.but(store=StoreProfile(writes_per_second=10)))

    async def main() -> list[int]:
        refused: list[int] = []
        for _ in range(30):
            before = cloud.ledger.refused["503"]
            await asyncio.gather(*(cloud.store.put(f"{n}", b"x") for n in range(30)))
            refused.append(cloud.ledger.refused["503"] - before)
            await asyncio.sleep(100)
        return refused

    assert all(cloud.run(main))


@pytest.mark.parametrize(("size", "seconds"), [(1_000_000, 0.0), (4_000_000, 20.0)])
def test_an_environments_network(size: int, seconds: float) -> None:
    """A burst goes as fast as a connection takes it, and what is beyond it slowly."""
    cloud = SimulatedCloud(1, CALM.but(burst_bytes=2e6, bytes_per_second=1e5))

    async def use(fabric: af.Fabric) -> float:
        refs: list[Any] = [await fabric.put(bytes([n]) * (size // 4)) for n in range(4)]
        began = cloud.now
        assert await fabric.submit(total_length, *refs) == size
        return cloud.now - began

    assert seconds <= run(cloud, use) - 0.52 < seconds + 1.0


def test_express() -> None:
    cloud = SimulatedCloud(1, CALM.but(store=StoreProfile.express()))

    async def main() -> float:
        for n in range(100):
            await cloud.store.put(f"{n}", b"x")
        return cloud.now

    assert 0.3 < cloud.run(main) < 1.0
