"""How a worker died, out of what Lambda says about it.

Lambda answers 200 with the header X-Amz-Function-Error when the runtime died or its handler raised.
asyncfabric's own handler never raises what a user's function does, so this is about the worker.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from asyncfabric._exceptions import (
    AttemptTimeout,
    DeploymentError,
    FabricError,
    OutOfMemory,
    PayloadTooLarge,
    WorkerCrashed,
)

from ._fault import Fault, Kind, Place, compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .transport._protocol import Reply

_TIMED_OUT = re.compile(r"Task timed out after ([\d.]+) seconds")
_EXIT = re.compile(r"exit status \d+|signal: [\w ]+")
# The line REPORT, as text or as JSON.
_SIZE = re.compile(r'Memory Size: (\d{1,9}) MB|"memorySizeMB": ?(\d{1,9})')
_USED = re.compile(r'Max Memory Used: (\d{1,9}) MB|"maxMemoryUsedMB": ?(\d{1,9})')
_START_FAILURES = frozenset(
    {
        "Extension.Crash",
        "Function.InvalidHandler",
        "Runtime.HandlerNotFound",
        "Runtime.ImportModuleError",
        "Runtime.InvalidEntrypoint",
        "Runtime.MalformedHandlerName",
        "Runtime.UserCodeSyntaxError",
    }
)
_STACK_LINES = 40


class _Account(NamedTuple):
    """What the reply says."""

    type: str
    message: str
    stack: str
    log: str


def diagnose_function(reply: Reply, place: Place, request_id: str) -> Fault:
    """Tell what the reply with a function error means."""
    account = _account(reply)
    kind, error, what, advice = _judge(account, place)
    log = account.log or account.stack
    message = compose(what, request_id, advice, log)
    code = account.type or reply.headers.get("x-amz-function-error", "")
    return Fault(kind, code, "", message, None, request_id, error(message))


def log_tail(headers: Mapping[str, str]) -> str:
    """Return the end of the function's log, if it was asked for."""
    try:
        tail = base64.b64decode(headers.get("x-amz-log-result", ""))
    except (binascii.Error, ValueError):
        return ""
    return tail.decode("utf-8", "replace")


def _account(reply: Reply) -> _Account:
    log = log_tail(reply.headers)
    try:
        body: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        body = bytes(reply.body[:1000]).decode("utf-8", "replace")
    if not isinstance(body, dict):
        return _Account("", str(body), "", log)
    said = cast("dict[str, Any]", body)
    stack = said.get("stackTrace")
    lines = "".join(map(str, cast("list[object]", stack))) if isinstance(stack, list) else ""
    lines = "\n".join(lines.splitlines()[-_STACK_LINES:])
    return _Account(
        str(said.get("errorType") or ""), str(said.get("errorMessage") or ""), lines, log
    )


def _judge(account: _Account, place: Place) -> tuple[Kind, type[FabricError], str, str]:
    kind, message = account.type, account.message
    timed_out = _TIMED_OUT.search(message) or _TIMED_OUT.search(account.log)
    if kind == "Sandbox.Timedout" or _TIMED_OUT.search(message):
        after = f" after {timed_out[1]} s" if timed_out else ""
        return (
            "function",
            AttemptTimeout,
            f"Lambda stopped {place}{after}",
            (
                "give the calls less to do, or the function more time: "
                f"{place.command('deploy')} --timeout 900"
            ),
        )
    size, used = _megabytes(_SIZE, account.log), _megabytes(_USED, account.log)
    died = kind in {"Runtime.ExitError", "Sandbox.Failure"} or bool(_EXIT.search(message))
    full = died and size is not None and used is not None and used >= size
    killed = died and "signal: killed" in message
    if killed or full or kind in {"Runtime.OutOfMemory", "MemoryError"}:
        had = f" of {size} MB" if size is not None else ""
        return (
            "function",
            OutOfMemory,
            f"a worker of {place} ran out of its memory{had} ({message or kind})",
            (
                "use workers with more memory (memory= in the lambda:// URL, after asyncfabric "
                "deploy --memory), or smaller inputs"
            ),
        )
    if kind in _START_FAILURES:
        return (
            "terminal",
            DeploymentError,
            f"the worker of {place} can't start: {kind}: {message}",
            f"publish it again: {place.command('deploy')}",
        )
    if kind == "Function.ResponseSizeTooLarge":
        return (
            "payload",
            PayloadTooLarge,
            f"the answer of {place} is too large: {message}",
            "return less, or let the results go through the store: storage='s3://...'",
        )
    if died:
        how = _EXIT.search(message)
        return (
            "function",
            WorkerCrashed,
            f"a worker of {place} died: {how[0] if how else message or kind}",
            (
                "see what the function does there that can end its process: os._exit, a crash in "
                "compiled code"
            ),
        )
    return (
        "function",
        WorkerCrashed,
        f"the handler of {place} raised {kind or 'an error'}: {message}",
        f"see that it is asyncfabric's, of this version: {place.command('deploy')}",
    )


def _megabytes(pattern: re.Pattern[str], log: str) -> int | None:
    found = pattern.search(log)
    return None if found is None else int(found[1] or found[2])
