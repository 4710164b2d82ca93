"""Replies as Lambda gives them."""

import base64
import json

from asyncfabric import FabricError
from asyncfabric.aws._errors import diagnose
from asyncfabric.aws._fault import Fault
from asyncfabric.aws.transport import Reply, Unanswered

FUNCTION = "asyncfabric-w1-py311-x86_64-1769"
REGION = "eu-west-1"
ENDPOINT = "https://lambda.eu-west-1.amazonaws.com"
REQUEST = "8a2c1f52-0000-4000-8000-000000000000"
KINDS = {"throttle", "transient", "ambiguous", "terminal", "payload", "function"}


def found(answer: Reply | Unanswered) -> Fault:
    fault = diagnose(answer, function=FUNCTION, region=REGION, endpoint=ENDPOINT)
    assert fault is not None
    assert fault.message == str(fault.error)
    assert isinstance(fault.error, FabricError)
    return fault


def refused(status: int, code: str, **body: object) -> Reply:
    headers = {
        "content-type": "application/json",
        "x-amzn-requestid": REQUEST,
        "x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/com.amazonaws.lambda/",
    }
    return Reply(status, headers, json.dumps({"Type": "User", **body}).encode())


def died(body: object, log: str = "") -> Reply:
    headers = {"x-amz-function-error": "Unhandled", "x-amzn-requestid": REQUEST}
    if log:
        headers["x-amz-log-result"] = base64.b64encode(log.encode()).decode()
    return Reply(200, headers, json.dumps(body).encode())
