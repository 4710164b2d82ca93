"""The Invoke API and what a function sees, through real runtime processes."""

import asyncio
import base64
import io
import json
import os
import sys
from pathlib import Path

import aiohttp
import pytest

import asyncfabric_runtime
from asyncfabric.testing import Fault, Limits
from tests.testing.client import CODE, cloud, function

ARN = "arn:aws:lambda:us-east-1:123456789012:function"


@pytest.mark.every_loop
async def test_a_function_answers() -> None:
    async with cloud("echo") as (_, client):
        reply = await client.invoke("echo", {"a": [1, "ü"]})
    assert (reply.status, reply.error, reply.json) == (200, None, {"a": [1, "ü"]})
    assert reply.headers["X-Amz-Executed-Version"] == "$LATEST"
    assert reply.headers["Content-Type"] == "application/json"
    assert "X-Amz-Log-Result" not in reply.headers


async def test_what_a_function_is_told() -> None:
    settings = function("about", memory=256, environment={"MINE": "yes"})
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    async with cloud(functions={"f": settings}, environment={"ALL": "too"}) as (_, client):
        reply = await client.invoke("f", Client_Context=context)
    told = reply.json
    assert told["request_id"] == reply.headers["x-amzn-RequestId"]
    assert told["arn"] == f"{ARN}:f"
    assert (told["name"], told["version"], told["memory"]) == ("f", "$LATEST", "256")
    assert 0 < told["milliseconds"] <= 30_000
    assert told["custom"] == {"k": "v"}
    assert told["directory"] == str(CODE)
    environment = told["environment"]
    assert environment["MINE"] == "yes"
    assert environment["ALL"] == "too"
    assert environment["_HANDLER"] == "handlers.about"
    assert environment["LAMBDA_TASK_ROOT"] == str(CODE)
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["AWS_EXECUTION_ENV"] == f"AWS_Lambda_python3.{sys.version_info.minor}"
    assert environment["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/f"
    assert environment["_X_AMZN_TRACE_ID"] == reply.headers["X-Amzn-Trace-Id"]
    assert not Path(environment["TMPDIR"]).exists()  # it was there while the environment was


async def test_the_drivers_environment_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_DRIVER", "secret")
    async with cloud("about") as (_, client):
        assert "OF_THE_DRIVER" not in (await client.invoke("about")).json["environment"]


async def test_an_exception_is_a_function_error() -> None:
    async with cloud("fail", "pid") as (front, client):
        reply = await client.invoke("fail", "no good", Log_Type="Tail")
        assert (reply.status, reply.error) == (200, "Unhandled")
        assert reply.json["errorType"] == "ValueError"
        assert reply.json["errorMessage"] == "no good"
        assert "in fail" in reply.json["stackTrace"][0]
        assert "[ERROR] ValueError: no good" in reply.log
        await client.invoke("fail", "again")
        assert front.counters.environments == 1  # the runtime lives on
        assert front.counters.function_errors == 2


async def test_the_log_tail() -> None:
    async with cloud("talk") as (_, client):
        cold = await client.invoke("talk", ["one", "two"], Log_Type="Tail")
        warm = await client.invoke("talk", [], Log_Type="Tail")
        long = await client.invoke("talk", [f"line {n}" for n in range(2000)], Log_Type="Tail")
    request_id = cold.headers["x-amzn-RequestId"]
    lines = cold.log.splitlines()
    assert lines[:4] == [
        f"START RequestId: {request_id} Version: $LATEST",
        "one",
        "two",
        "and an error",
    ]
    assert lines[4] == f"END RequestId: {request_id}"
    assert lines[5].startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "\tMemory Size: 128 MB\tMax Memory Used: " in lines[5]
    assert "\tInit Duration: " in lines[5]
    assert "Init Duration" not in warm.log
    assert len(long.log) == 4096
    assert "line 1999\nand an error\nEND" in long.log


async def test_logs_can_be_followed() -> None:
    heard = {"talk": ""}

    def hear(name: str, text: str) -> None:
        heard[name] += text

    async with cloud("talk", on_log=hear) as (_, client):
        await client.invoke("talk", ["hello"])
    assert "\nhello\nand an error\nEND" in heard["talk"]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("f", "$LATEST"),
        (f"{ARN}:f", "$LATEST"),
        ("123456789012:function:f", "$LATEST"),
        ("arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Af", "$LATEST"),
        ("f?Qualifier=live", "3"),
        ("f?Qualifier=3", "3"),
        (f"{ARN}:f:live", "3"),
        ("f:$LATEST", "$LATEST"),
    ],
)
async def test_names_of_a_function(name: str, version: str) -> None:
    async with cloud(functions={"f": function("echo", aliases={"live": "3"})}) as (_, client):
        reply = await client.invoke(name)
    assert (reply.status, reply.headers["X-Amz-Executed-Version"]) == (200, version)


@pytest.mark.parametrize(
    ("name", "status", "code", "message"),
    [
        ("g", 404, "ResourceNotFoundException", f"Function not found: {ARN}:g"),
        ("f?Qualifier=4", 404, "ResourceNotFoundException", f"Function not found: {ARN}:f:4"),
        (
            "arn:aws:lambda:eu-west-1:123456789012:function:f",
            404,
            "ResourceNotFoundException",
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')",
        ),
        ("arn:aws:lambda:us-east-1:999999999999:function:f", 403, "AccessDeniedException", ""),
        ("no%20name", 400, "ValidationException", "1 validation error detected: "),
    ],
)
async def test_functions_that_are_not_there(
    name: str, status: int, code: str, message: str
) -> None:
    async with cloud(functions={"f": function("echo")}) as (front, client):
        reply = await client.invoke(name)
    assert reply.status == status
    assert reply.headers["x-amzn-ErrorType"] == code
    assert reply.headers["x-amzn-RequestId"]
    text = reply.json.get("Message" if code == "ResourceNotFoundException" else "message")
    assert text.startswith(message)
    assert reply.json["Type"] == "User"
    assert front.counters.environments == 0


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", "RequestResponse", "InvalidRequestContentException"),
        (b"{}", "Whenever", "InvalidParameterValueException"),
    ],
)
async def test_requests_that_make_no_sense(data: bytes, kind: str, code: str) -> None:
    async with cloud("echo") as (_, client):
        reply = await client.invoke("echo", data=data, Invocation_Type=kind)
    assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (400, code)


@pytest.mark.parametrize("context", ["%", base64.b64encode(b"{").decode(), "x" * 3584])
async def test_a_client_context_that_makes_no_sense(context: str) -> None:
    async with cloud("echo") as (_, client):
        reply = await client.invoke("echo", Client_Context=context)
    assert reply.status == 400
    assert reply.headers["x-amzn-ErrorType"] == "InvalidRequestContentException"
    assert reply.json["message"].startswith("Client context must be")


async def test_a_web_page_cannot_invoke() -> None:
    """A browser on this machine can post to any port, and says for which page it does."""
    async with cloud("echo") as (front, client):
        path = "/2015-03-31/functions/echo/invocations"
        reply = await client.post(path, io.BytesIO(b"{}"), {"Origin": "https://example.org"})
        assert (reply.status, front.counters.executions) == (403, 0)
        assert (await client.post(path, io.BytesIO(b"{}"), {})).status == 200


async def test_another_operation_is_unknown() -> None:
    async with cloud("echo") as (front, client):
        reply = await client.post("/2015-03-31/functions/", io.BytesIO(b"{}"), {})
        assert (reply.status, reply.headers["x-amzn-ErrorType"]) == (
            404,
            "UnknownOperationException",
        )
        assert front.counters.requests == 0


async def test_no_payload_is_an_empty_object() -> None:
    async with cloud("echo") as (_, client):
        assert (await client.invoke("echo", data=b"")).json == {}


async def test_a_dry_run_runs_nothing() -> None:
    async with cloud("echo") as (front, client):
        reply = await client.invoke("echo", Invocation_Type="DryRun")
        assert (reply.status, reply.body) == (204, b"")
        assert front.counters.executions == 0


async def test_an_event_is_answered_before_it_ends(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with cloud("hold") as (front, client):
        reply = await client.invoke("hold", str(gate), Invocation_Type="Event")
        assert (reply.status, reply.body) == (202, b"")
        await front.until(lambda counters: counters.running == 1)
        gate.touch()
        await front.until(lambda counters: counters.running == 0)
        assert front.counters.executions == 1


async def test_a_failed_event_is_repeated_twice(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with cloud("write", limits=Limits(event_waits=(0.0, 0.0))) as (front, client):
        await client.invoke("write", str(mark), Invocation_Type="Event")
        await front.until(lambda counters: counters.function_errors == 3)
        assert mark.read_text() == "xxx"


async def test_events_that_are_dropped_and_delivered_twice(tmp_path: Path) -> None:
    """Which Lambda does without a word of it."""
    async with cloud("echo") as (front, client):
        front.inject([Fault(dropped=True), Fault(duplicate=True), None])
        for _ in range(3):
            assert (await client.invoke("echo", 1, Invocation_Type="Event")).status == 202
        await front.until(lambda counters: counters.executions == 3 and not counters.running)
        front.inject([Fault(dropped=True)])
        assert (await client.invoke("echo", 1)).status == 200  # this is about events


async def test_a_client_that_goes_away_stops_nothing(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with cloud("hold") as (front, client):
        waiting = asyncio.create_task(client.invoke("hold", str(gate)))
        await front.until(lambda counters: counters.executions == 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert front.counters.running == 1
        gate.touch()
        await front.until(lambda counters: counters.running == 0)
        assert front.counters.function_errors == 0


async def test_a_member_of_the_family_is_served() -> None:
    minor = sys.version_info.minor
    wire = asyncfabric_runtime.WIRE_VERSION
    async with cloud() as (_, client):
        mine = await client.invoke(f"any-name-w{wire}-py3{minor}-x86_64-512", {"not": "ours"})
        other = await client.invoke(f"any-name-w{wire}-py2{minor}-x86_64-512")
        elder = await client.invoke(f"any-name-w{wire + 1}-py3{minor}-x86_64-512")
    assert (mine.status, mine.error) == (200, None)
    assert mine.json["asyncfabric"] == "refused"  # by the real worker: this is no envelope
    assert (other.status, elder.status) == (404, 404)


async def test_the_wire_as_it_is() -> None:
    """Without a client library: what stands on the socket."""
    async with cloud("echo") as (front, _):
        host, port = front.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps("hello").encode()
        writer.write(
            b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: lambda\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200 ok\r\n")
        assert "x-amzn-requestid: " in head
        assert await reader.readexactly(len(body)) == body
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_breaks_off(caplog: pytest.LogCaptureFixture) -> None:
    async with cloud("echo") as (front, client):
        host, port = front.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\nHost: lambda\r\n"
            b"Content-Length: 100\r\n\r\nhalf"
        )
        await front.until(lambda counters: counters.requests == 1)
        writer.close()
        await writer.wait_closed()
        assert (await client.invoke("echo", 1)).json == 1
        assert front.counters.executions == 1
    assert caplog.records == []


async def test_registering_again_replaces_a_function() -> None:
    async with cloud("pid") as (front, client):
        first = (await client.invoke("pid")).json
        front.register("pid", function("echo"))
        assert (await client.invoke("pid", "new")).json == "new"
        front.register("pid", function("pid"))
        assert (await client.invoke("pid")).json not in {first, os.getpid()}


async def test_a_url_that_nobody_serves() -> None:
    async with cloud("echo") as (front, _):
        url = front.url
    with pytest.raises(RuntimeError, match="not open"):
        _ = front.url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.post(url)
