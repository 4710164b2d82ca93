"""How workers die, as Lambda tells it."""

import base64
from typing import Any

import pytest

from asyncfabric import (
    AttemptTimeout,
    DeploymentError,
    FabricError,
    OutOfMemory,
    PayloadTooLarge,
    WorkerCrashed,
)
from tests.aws.replies import FUNCTION, REGION, REQUEST, died, found

REPORT = "REPORT RequestId: {} Duration: 1 ms Memory Size: {} MB Max Memory Used: {} MB"


def exited(how: str) -> dict[str, Any]:
    return {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: 1 Error: {how}"}


FUNCTION_ERRORS: list[tuple[Any, str, str, type[FabricError], str]] = [
    (exited("Runtime exited with error: signal: killed"), "", "function", OutOfMemory, "--memory"),
    (
        exited("Runtime exited with error: signal: killed"),
        REPORT.format(1, 1769, 1769),
        "function",
        OutOfMemory,
        "1769 MB",
    ),
    (
        exited("Runtime exited with error: exit status 1"),
        REPORT.format(1, 512, 512),
        "function",
        OutOfMemory,
        "512 MB",
    ),
    (
        exited("Runtime exited with error: exit status 1"),
        '{"metrics": {"memorySizeMB": 512, "maxMemoryUsedMB": 512}}',
        "function",
        OutOfMemory,
        "512 MB",
    ),
    (
        {"errorType": "Runtime.OutOfMemory", "errorMessage": "RequestId: 1 Error: out of memory"},
        "",
        "function",
        OutOfMemory,
        "--memory",
    ),
    (
        {"errorMessage": "", "errorType": "MemoryError", "stackTrace": []},
        "",
        "function",
        OutOfMemory,
        "--memory",
    ),
    (
        {"errorMessage": "2026-11-23T02:00:00Z 1234 Task timed out after 3.00 seconds"},
        "",
        "function",
        AttemptTimeout,
        "after 3.00 s",
    ),
    (
        {
            "errorType": "Sandbox.Timedout",
            "errorMessage": "RequestId: 1 Error: Task timed out after 900.00 seconds",
        },
        REPORT.format(1, 512, 512),
        "function",
        AttemptTimeout,
        "after 900.00 s",
    ),
    (
        exited("Runtime exited with error: exit status 3"),
        REPORT.format(1, 512, 70),
        "function",
        WorkerCrashed,
        "exit status 3",
    ),
    (
        exited("Runtime exited with error: signal: segmentation fault"),
        "",
        "function",
        WorkerCrashed,
        "signal: segmentation fault",
    ),
    (
        exited("Runtime exited without providing a reason"),
        "",
        "function",
        WorkerCrashed,
        "without providing a reason",
    ),
    (
        {
            "errorType": "Runtime.ImportModuleError",
            "errorMessage": "Unable to import module 'x': No module named 'numpy'",
            "requestId": "",
            "stackTrace": [],
        },
        "",
        "terminal",
        DeploymentError,
        "No module named 'numpy'",
    ),
    (
        {"errorType": "Runtime.HandlerNotFound", "errorMessage": "Handler 'h' missing"},
        "",
        "terminal",
        DeploymentError,
        "asyncfabric deploy",
    ),
    (
        {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size",
        },
        "",
        "payload",
        PayloadTooLarge,
        "storage=",
    ),
    (
        {
            "errorType": "ValueError",
            "errorMessage": "no such thing",
            "stackTrace": ['  File "/var/task/x.py", line 3, in handler\n    f()\n'],
        },
        "",
        "function",
        WorkerCrashed,
        "/var/task/x.py",
    ),
    ("not an object", "", "function", WorkerCrashed, "not an object"),
]


@pytest.mark.parametrize(("body", "log", "kind", "error", "part"), FUNCTION_ERRORS)
def test_how_workers_die(
    body: object, log: str, kind: str, error: type[FabricError], part: str
) -> None:
    fault = found(died(body, log))
    assert fault.kind == kind
    assert type(fault.error) is error
    assert part in fault.message
    for each in (FUNCTION, REGION, REQUEST, log):
        assert each in fault.message


def test_the_end_of_the_log_is_quoted() -> None:
    log = "START\nTraceback: sad \u2603\nEND\n"
    message = found(died(exited("Runtime exited with error: exit status 3"), log)).message
    assert "    START\n    Traceback: sad \u2603\n    END\n" in message


def test_a_log_that_is_cut_or_no_base64_does_no_harm() -> None:
    reply = died(exited("Runtime exited with error: exit status 3"))
    for tail in ("%%%", "a", base64.b64encode("\u2603".encode()[1:]).decode()):
        reply.headers["x-amz-log-result"] = tail
        assert type(found(reply).error) is WorkerCrashed
