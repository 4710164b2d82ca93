"""Sizes, concurrency, and how fast environments start."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import FunctionSettings, LambdaFront, Limits
from asyncfabric.testing._admission import Bucket
from tests.testing.client import Client, Reply, cloud, ended, function

# sizes


async def test_payloads_up_to_the_limit() -> None:
    most = Limits().request_bytes
    async with cloud("echo") as (front, client):
        largest = await client.invoke("echo", "x" * (most - 2))
        larger = await client.invoke("echo", "x" * (most - 1))
        assert (largest.status, len(largest.body)) == (200, most)
        assert larger.status == 413
        assert larger.headers["x-amzn-ErrorType"] == "RequestEntityTooLargeException"
        assert f"must be smaller than {most} bytes" in larger.json["message"]
        assert front.counters.executions == 1


async def test_events_up_to_the_limit() -> None:
    most = Limits().event_bytes
    async with cloud("echo") as (_, client):
        largest = await client.invoke("echo", "x" * (most - 2), Invocation_Type="Event")
        larger = await client.invoke("echo", "x" * (most - 1), Invocation_Type="Event")
    assert (largest.status, larger.status) == (202, 413)
    assert larger.json["message"] == (
        f"{most + 1} byte payload is too large for the Event invocation type (limit {most} bytes)"
    )


async def test_answers_up_to_the_limit() -> None:
    most = Limits().response_bytes
    async with cloud("large", "pid") as (_, client):
        largest = await client.invoke("large", most)
        larger = await client.invoke("large", most + 1)
        assert (largest.error, len(largest.body)) == (None, most)
        assert (larger.status, larger.error) == (200, "Unhandled")
        assert larger.json == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": f"Response payload size ({most + 1} bytes) exceeded maximum allowed "
            f"payload size ({most} bytes).",
        }
        assert (await client.invoke("large", 10)).error is None  # the function still works


# concurrency


def refused(reply: Reply, reason: str) -> bool:
    """Whether this is the 429 of that reason."""
    assert reply.json["Type"] == "User"
    assert reply.headers["x-amzn-ErrorType"] == "TooManyRequestsException"
    return (reply.status, reply.json["Reason"]) == (429, reason)


async def held(
    front: LambdaFront, client: Client, gate: Path, *names: str
) -> list[asyncio.Task[Reply]]:
    """Have functions run until the gate is there."""
    tasks = [asyncio.create_task(client.invoke(name, str(gate))) for name in names]
    await front.until(lambda counters: counters.executions == len(names))
    return tasks


async def test_the_concurrency_of_the_account(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with cloud("hold", "echo", limits=Limits(concurrency=2)) as (front, client):
        tasks = await held(front, client, gate, "hold", "hold")
        reply = await client.invoke("echo")
        assert refused(reply, "ConcurrentInvocationLimitExceeded")
        assert reply.json["message"] == "Rate Exceeded."
        assert "Retry-After" not in reply.headers
        gate.touch()
        await asyncio.gather(*tasks)
        assert (await client.invoke("echo")).status == 200
        assert front.counters.peak == 2
        assert front.counters.throttles == 1
        assert front.counters.statuses == {200: 3, 429: 1}


async def test_reserved_concurrency(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    functions = {
        "mine": function("hold", reserved_concurrency=1),
        "never": function("hold", reserved_concurrency=0),
    }
    limits = Limits(concurrency=2)
    async with cloud("hold", functions=functions, limits=limits) as (front, client):
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert refused(await client.invoke("never"), reason)
        tasks = await held(front, client, gate, "mine")
        assert refused(await client.invoke("mine"), reason)
        tasks.append(asyncio.create_task(client.invoke("hold", str(gate))))  # what is not reserved
        await front.until(lambda counters: counters.executions == 2)
        assert refused(await client.invoke("hold"), "ConcurrentInvocationLimitExceeded")
        gate.touch()
        await asyncio.gather(*tasks)


def test_more_than_there_is_cannot_be_reserved() -> None:
    front = LambdaFront(limits=Limits(concurrency=10))
    front.register("a", function("echo", reserved_concurrency=6))
    with pytest.raises(af.ConfigurationError, match="the account has 4 left; give"):
        front.register("b", function("echo", reserved_concurrency=5))
    front.register("a", function("echo", reserved_concurrency=10))


async def test_environments_start_only_so_fast(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    limits = Limits(environments_at_once=2, environments_per_10_seconds=0.0)
    async with cloud("hold", limits=limits) as (front, client):
        tasks = await held(front, client, gate, "hold", "hold")
        assert refused(await client.invoke("hold"), "ConcurrentInvocationLimitExceeded")
        gate.touch()
        await asyncio.gather(*tasks)
        assert (await client.invoke("hold", str(gate))).status == 200  # warm ones may be used
        assert front.counters.environments == 2


async def test_requests_come_only_so_fast() -> None:
    """Throttled by rate, below the concurrency: here one a second is allowed."""
    limits = Limits(concurrency=2, requests_per_environment=0.5)
    async with cloud("echo", limits=limits) as (front, client):
        replies = await asyncio.gather(client.invoke("echo"), client.invoke("echo"))
        served, throttled = sorted(replies, key=lambda reply: reply.status)
        assert served.status == 200
        assert refused(throttled, "FunctionInvocationRateLimitExceeded")
        assert throttled.headers["Retry-After"] == "1"
        assert front.counters.peak == 1


def test_an_allowance_refills_evenly_and_is_not_banked() -> None:
    bucket = Bucket(2, rate=10.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(0.11), bucket.take(0.12)] == [True, False]
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]


# environments


async def test_the_environment_used_last_is_used_next(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with cloud("hold") as (front, client):
        tasks = await held(front, client, gate, "hold", "hold")
        gate.touch()
        pids = {task.result().json for task in (await asyncio.wait(tasks))[0]}
        assert len(pids) == 2
        again = {(await client.invoke("hold", str(gate))).json for _ in range(5)}
        assert len(again) == 1
        assert again < pids


async def test_recycled_environments_are_cold() -> None:
    async with cloud("pid") as (front, client):
        first = (await client.invoke("pid")).json
        assert (await client.invoke("pid")).json == first
        await front.recycle()
        assert ended(first)
        assert (await client.invoke("pid")).json != first
        assert front.counters.environments == 2


async def test_idle_environments_end() -> None:
    async with cloud("pid", limits=Limits(idle_seconds=0.0)) as (_, client):
        first = (await client.invoke("pid")).json
        async with asyncio.timeout(30):
            while not ended(first):  # noqa: ASYNC110 - another process ends
                await asyncio.sleep(0.001)
        assert (await client.invoke("pid")).json != first


# settings


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"handler": "function"}, "module.function"),
        ({"memory": 0}, "give megabytes"),
        ({"timeout": 0.0}, "give seconds"),
        ({"reserved_concurrency": -1}, "give 0 to refuse"),
        ({"code": "/no/such/directory"}, "is no directory"),
        ({"event_retries": 3}, "allows 0, 1 or 2"),
    ],
)
def test_settings_that_make_no_sense(wrong: dict[str, Any], says: str) -> None:
    settings: dict[str, Any] = {"handler": "a.b"} | wrong
    with pytest.raises(af.ConfigurationError, match=says):
        FunctionSettings(**settings)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"concurrency": 0}, "lets nothing run"),
        ({"request_bytes": 0}, "lets nothing run"),
        ({"idle_seconds": -1.0}, "give 0 or more"),
        ({"event_waits": (-1.0, 0.0)}, "give 0 or more"),
    ],
)
def test_limits_that_make_no_sense(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(af.ConfigurationError, match=says):
        Limits(**wrong)


def test_a_timeout_that_makes_no_sense() -> None:
    with pytest.raises(af.ConfigurationError, match="give seconds"):
        LambdaFront(timeout=0.0)


def test_a_name_that_makes_no_sense() -> None:
    with pytest.raises(af.ConfigurationError, match="letters, digits"):
        LambdaFront({"no name": function("echo")})
