"""An invocation, and what came of it."""

from __future__ import annotations

import json
import uuid
from typing import NamedTuple


class Invocation(NamedTuple):
    """What a worker is asked to do."""

    request_id: str
    payload: bytes
    arn: str
    version: str
    trace: str
    client_context: str | None


class Result(NamedTuple):
    """What an invocation ended with: the function's answer, or (`failed`) a function error."""

    body: bytes
    failed: bool
    log: bytes


class InitFailed(NamedTuple):
    """Why an environment can't start: the runtime's own report, or (None) how it ended."""

    body: bytes | None
    reason: str
    log: bytes


def error_body(kind: str, message: str) -> bytes:
    """Return a function error as the service words it."""
    return json.dumps({"errorType": kind, "errorMessage": message}, separators=(",", ":")).encode()


def exit_error(request_id: str, reason: str) -> bytes:
    """Return the error of an invocation whose runtime has ended."""
    return error_body("Runtime.ExitError", f"RequestId: {request_id} Error: {reason}")


def timeout_error(request_id: str, timeout: float) -> bytes:
    """Return the error of an invocation that outlived its timeout, in seconds."""
    message = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
    return error_body("Sandbox.Timedout", message)


def new_request_id() -> str:
    """Return an id for a request."""
    return str(uuid.uuid4())
