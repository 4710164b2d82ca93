"""What Lambda would have answered, and what the driver makes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from asyncfabric.aws._errors import diagnose
from asyncfabric.aws.transport._protocol import Reply, Unanswered

if TYPE_CHECKING:
    from asyncfabric.aws._fault import Fault

CALLER_RATE = "CallerRateLimitExceeded"
KINDS = ("service", "gateway", "worker")
"""How invocations fail: Lambda says so, something in between does, or the environment is gone."""
_REGION = "us-east-1"
_ENDPOINT = "https://lambda.us-east-1.amazonaws.com"


def fault_of(trouble: str, function: str, request: str, *, retry_after: float | None) -> Fault:
    """Return the fault of a trouble: "throttled REASON", "failed KIND" or "lost".

    The reply is made as Lambda makes it, and diagnosed by the driver's own code.
    """
    reply = _reply(trouble, request, retry_after)
    fault = diagnose(reply, function=function, region=_REGION, endpoint=_ENDPOINT)
    assert fault is not None  # noqa: S101 - none of these is a good reply
    return fault


def _reply(trouble: str, request: str, retry_after: float | None) -> Reply | Unanswered:
    headers = {"x-amzn-requestid": request}
    kind, _, detail = trouble.partition(" ")
    if kind == "throttled":
        if retry_after is not None:
            headers["retry-after"] = f"{retry_after:g}"
        headers["x-amzn-errortype"] = "TooManyRequestsException"
        told = {"Type": "User", "Reason": detail, "message": "Rate Exceeded."}
        return Reply(429, headers, json.dumps(told).encode())
    if kind == "lost":
        return Unanswered("the connection was lost before the reply came", written=True, why="lost")
    if detail == "service":
        headers["x-amzn-errortype"] = "ServiceException"
        told = {"Type": "Service", "message": "The service failed."}
        return Reply(500, headers, json.dumps(told).encode())
    if detail == "gateway":
        return Reply(502, {}, b"<html>Bad Gateway</html>")
    headers["x-amz-function-error"] = "Unhandled"
    message = f"RequestId: {request} Error: Runtime exited with error: exit status 1"
    told = {"errorType": "Runtime.ExitError", "errorMessage": message}
    return Reply(200, headers, json.dumps(told).encode())
