"""Faults on purpose."""

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

import asyncfabric as af
from asyncfabric.testing import Fault, Faults
from tests.testing.client import cloud


async def test_the_third_request_is_throttled() -> None:
    faults = [None, None, Fault.throttle(retry_after=1)]
    async with cloud("echo", faults=faults) as (front, client):
        replies = [await client.invoke("echo") for _ in range(4)]
        assert [reply.status for reply in replies] == [200, 200, 429, 200]
        third = replies[2]
        assert third.headers["Retry-After"] == "1"
        assert third.headers["x-amzn-ErrorType"] == "TooManyRequestsException"
        assert third.json["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert front.counters.throttles == 1
        assert front.counters.executions == 3


async def test_an_error_of_the_service() -> None:
    async with cloud("echo", faults=[Fault.error(502, "EC2ThrottledException")]) as (front, client):
        reply = await client.invoke("echo")
        assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (502, "EC2ThrottledException")
        assert reply.json["Type"] == "Service"
        assert front.counters.executions == 0


@pytest.mark.every_loop
@pytest.mark.parametrize(("fault", "runs"), [(Fault(reset=True), 0), (Fault(lost_reply=True), 1)])
async def test_a_connection_is_reset(fault: Fault, runs: int) -> None:
    async with cloud("echo", faults=[fault]) as (front, _):
        host, port = front.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: lambda\r\n"
            b"Content-Length: 2\r\n\r\n{}"
        )
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert front.counters.executions == runs
        assert front.counters.resets == 1
        assert sum(front.counters.statuses.values()) == 0


async def test_a_function_runs_twice() -> None:
    async with cloud("echo", faults=[Fault(duplicate=True)]) as (front, client):
        assert (await client.invoke("echo", 7)).json == 7
        await front.until(lambda counters: counters.executions == 2)
        assert front.counters.requests == 1


async def test_a_request_is_delayed() -> None:
    async with cloud("echo", faults=[Fault(delay=3600.0)]) as (front, client):
        late = asyncio.create_task(client.invoke("echo"))
        await front.until(lambda counters: counters.requests == 1)
        assert (await client.invoke("echo")).status == 200
        assert (late.done(), front.counters.executions) == (False, 1)
        late.cancel()


async def test_a_reply_is_slow() -> None:
    async with cloud("echo", faults=[Fault(slow_reply=3600.0)]) as (front, client):
        late = asyncio.create_task(client.invoke("echo"))
        await front.until(lambda counters: counters.executions == 1 and counters.running == 0)
        assert (await client.invoke("echo")).status == 200
        assert not late.done()
        late.cancel()


async def test_faults_by_number_and_from_now_on() -> None:
    def second(number: int) -> Fault | None:
        return Fault.error() if number == 2 else None

    async with cloud("echo", faults=second) as (front, client):
        assert [(await client.invoke("echo")).status for _ in range(3)] == [200, 500, 200]
        front.inject([Fault.throttle()])
        assert [(await client.invoke("echo")).status for _ in range(2)] == [429, 200]
        front.inject(None)
        assert (await client.invoke("echo")).status == 200


async def test_seeded_faults_through_the_front() -> None:
    faults = Faults(seed=3, throttled=0.3, errors=0.2, reset=0.1)
    seen: list[int | None] = []
    async with cloud("echo", faults=faults) as (_, client):
        for _ in range(40):
            try:
                seen.append((await client.invoke("echo")).status)
            except aiohttp.ClientConnectionError:
                seen.append(None)
    expected: list[int | None] = []
    for number in range(1, 41):
        fault = faults(number) or Fault()
        expected.append(None if fault.reset else fault.status or 200)
    assert seen == expected
    assert {200, 429, None} <= set(seen)


def test_a_seed_decides() -> None:
    one, same, other = (
        Faults(seed=seed, throttled=0.1, lost=0.1, delay=0.05) for seed in (1, 1, 2)
    )
    numbers = range(1, 200)
    assert [one(n) for n in numbers] == [same(n) for n in reversed(numbers)][::-1]
    assert [one(n) for n in numbers] != [other(n) for n in numbers]


def test_shares_are_about_right() -> None:
    faults = Faults(
        throttled=0.1,
        errors=0.1,
        reset=0.1,
        lost=0.1,
        duplicated=0.1,
        dropped=0.1,
        slow=0.1,
        slow_seconds=2.0,
    )
    seen: Counter[str] = Counter()
    for number in range(10_000):
        fault = faults(number) or Fault()
        seen["429"] += fault.status == 429
        seen["5xx"] += fault.status in {500, 502}
        seen["reset"] += fault.reset
        seen["lost"] += fault.lost_reply
        seen["duplicate"] += fault.duplicate
        seen["dropped"] += fault.dropped
        seen["slow"] += fault.slow_reply == 2.0
    assert all(900 < count < 1100 for count in seen.values()), seen
    assert len(seen) == 7


def test_no_shares_no_faults() -> None:
    assert [Faults()(number) for number in range(100)] == [None] * 100


@pytest.mark.parametrize("wrong", [{"throttled": -0.1}, {"throttled": 0.6, "lost": 0.6}])
def test_shares_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(af.ConfigurationError, match="add up to 1 at most"):
        Faults(**wrong)
