"""What AWS's own SDK makes of the replies."""

import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import pytest

from asyncfabric.testing import Fault, LambdaFront
from tests.testing.client import function


@asynccontextmanager
async def sdk(front: LambdaFront) -> AsyncGenerator[Any]:
    """A client of aiobotocore that repeats nothing."""
    config = import_module("aiobotocore.config").AioConfig(retries={"total_max_attempts": 1})
    session = import_module("aiobotocore.session").get_session()
    async with session.create_client(
        "lambda",
        region_name="us-east-1",
        endpoint_url=front.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    ) as client:
        yield client


async def test_an_answer_and_its_log() -> None:
    functions = {"echo": function("echo"), "fail": function("fail")}
    async with LambdaFront(functions) as front, sdk(front) as client:
        good = await client.invoke(FunctionName="echo", Payload=b'"hi"', LogType="Tail")
        assert (good["StatusCode"], good["ExecutedVersion"]) == (200, "$LATEST")
        assert json.loads(await good["Payload"].read()) == "hi"
        assert good["LogResult"]
        assert "FunctionError" not in good
        bad = await client.invoke(FunctionName="fail", Payload=io.BytesIO(b'"no"'))
        assert bad["FunctionError"] == "Unhandled"
        assert json.loads(await bad["Payload"].read())["errorType"] == "ValueError"
        assert (await client.invoke(FunctionName="echo", InvocationType="Event"))[
            "StatusCode"
        ] == 202


async def test_refusals() -> None:
    faults = [None, Fault.throttle(retry_after=2), Fault.error(), Fault.error(502, "EC2Unexpected")]
    async with LambdaFront({"f": function("echo")}, faults=faults) as front, sdk(front) as client:
        with pytest.raises(client.exceptions.ResourceNotFoundException) as missing:
            await client.invoke(FunctionName="g")
        error = missing.value.response
        assert error["Error"]["Message"].endswith(":function:g")
        assert error["ResponseMetadata"]["RequestId"]
        assert error["Type"] == "User"
        with pytest.raises(client.exceptions.TooManyRequestsException) as throttled:
            await client.invoke(FunctionName="f")
        error = throttled.value.response
        assert error["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert error["retryAfterSeconds"] == "2"
        assert error["Error"]["Message"] == "Rate Exceeded."
        with pytest.raises(client.exceptions.ServiceException):
            await client.invoke(FunctionName="f")
        with pytest.raises(client.exceptions.ClientError, match="EC2Unexpected"):
            await client.invoke(FunctionName="f")
