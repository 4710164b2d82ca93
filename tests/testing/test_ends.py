"""How functions end that don't answer: timeouts, memory, crashes, failed starts."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from asyncfabric.testing import Limits
from tests.testing.client import cloud, ended, function


async def test_a_timeout() -> None:
    settings = function("hang", timeout=0.2)
    async with cloud(functions={"hang": settings}) as (front, client):
        reply = await client.invoke("hang", Log_Type="Tail")
        request_id = reply.headers["x-amzn-RequestId"]
        assert (reply.status, reply.error) == (200, "Unhandled")
        assert reply.json == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after 0.20 seconds",
        }
        assert f"Z {request_id} Task timed out after 0.20 seconds\n" in reply.log
        assert "\tStatus: timeout" in reply.log
        await client.invoke("hang")
        assert front.counters.environments == 2  # the first one is gone


@pytest.mark.parametrize("name", ["hoard", "spike", "hoard_in_a_child"])
async def test_too_much_memory(name: str) -> None:
    settings = function(name, memory=128)
    async with cloud(functions={"f": settings}) as (_, client):
        reply = await client.invoke("f", 200, Log_Type="Tail")
    request_id = reply.headers["x-amzn-RequestId"]
    assert (reply.status, reply.error) == (200, "Unhandled")
    assert reply.json == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: signal: killed",
    }
    assert "\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t" in reply.log


async def test_enough_memory() -> None:
    async with cloud(functions={"f": function("spike", memory=512)}) as (_, client):
        reply = await client.invoke("f", 200, Log_Type="Tail")
    assert reply.error is None
    used = int(reply.log.partition("Max Memory Used: ")[2].split()[0])
    assert 200 < used < 512


@pytest.mark.parametrize(
    ("name", "event", "reason"),
    [
        ("end", 3, "Runtime exited with error: exit status 3"),
        ("end", 0, "Runtime exited without providing a reason"),
        ("die", signal.SIGSEGV, "Runtime exited with error: signal: segmentation fault"),
        ("die", signal.SIGTERM, "Runtime exited with error: signal: terminated"),
        ("die", 34, "Runtime exited with error: signal: signal 34"),
    ],
)
async def test_a_crash(name: str, event: int, reason: str) -> None:
    async with cloud(name) as (front, client):
        reply = await client.invoke(name, int(event), Log_Type="Tail")
        assert (reply.status, reply.error) == (200, "Unhandled")
        assert reply.json == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: {reply.headers['x-amzn-RequestId']} Error: {reason}",
        }
        assert "\tError Type: Runtime.ExitError" in reply.log
        await client.invoke(name, int(event))
        assert front.counters.environments == 2


async def test_a_module_that_is_missing() -> None:
    async with cloud(functions={"f": function("no_such_module.handler")}) as (front, client):
        reply = await client.invoke("f", Log_Type="Tail")
        assert (reply.status, reply.error) == (200, "Unhandled")
        assert reply.json["errorType"] == "Runtime.ImportModuleError"
        assert "No module named 'no_such_module'" in reply.json["errorMessage"]
        assert "[ERROR] Runtime.ImportModuleError" in reply.log
        assert front.counters.environments == 2  # a start that fails is tried once more
        assert front.counters.executions == 0


async def test_a_handler_that_is_missing() -> None:
    async with cloud(functions={"f": function("handlers.nobody")}) as (_, client):
        assert (await client.invoke("f")).json["errorType"] == "Runtime.HandlerNotFound"


async def test_a_module_that_ends_the_process() -> None:
    async with cloud(functions={"f": function("exits.handler")}) as (_, client):
        reply = await client.invoke("f", Log_Type="Tail")
    assert reply.json["errorType"] == "Runtime.ExitError"
    assert reply.json["errorMessage"].endswith("Runtime exited with error: exit status 7")
    assert "last words" in reply.log


async def test_a_start_that_takes_too_long_is_tried_again(tmp_path: Path) -> None:
    settings = function("slow_start.handler", environment={"MARK": str(tmp_path / "mark")})
    limits = Limits(init_seconds=0.5)
    async with cloud(functions={"f": settings}, limits=limits) as (front, client):
        reply = await client.invoke("f")
        assert reply.json == "started at last"
        assert front.counters.environments == 2


async def test_a_start_that_never_ends(tmp_path: Path) -> None:
    environment = {"MARK": str(tmp_path / "mark"), "ALWAYS": "1"}
    settings = function("slow_start.handler", timeout=0.3, environment=environment)
    async with cloud(functions={"f": settings}, limits=Limits(init_seconds=0.1)) as (_, client):
        reply = await client.invoke("f", Log_Type="Tail")
    assert reply.json["errorType"] == "Sandbox.Timedout"
    assert "Task timed out after 0.30 seconds" in reply.log


async def test_an_environment_that_dies_between_two_invocations() -> None:
    async with cloud("pid") as (front, client):
        first = (await client.invoke("pid")).json
        os.kill(first, signal.SIGKILL)
        reply = await client.invoke("pid")  # whether its death was noticed already, or not yet
        assert reply.error is None or "signal: killed" in reply.json["errorMessage"]
        assert (await client.invoke("pid")).json != first
        assert front.counters.environments == 2


async def test_children_of_a_function_end_with_its_environment() -> None:
    async with cloud("leave_a_child") as (_, client):
        child = (await client.invoke("leave_a_child")).json
        assert not ended(child)
    async with asyncio.timeout(30):
        while not ended(child):  # noqa: ASYNC110 - another process ends
            await asyncio.sleep(0.001)
