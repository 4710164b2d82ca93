"""What a fault means for the calls of its invocation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from asyncfabric._exceptions import AttemptTimeout, WorkerCrashed
from asyncfabric_runtime._alarm import EXPIRED_STATUS

if TYPE_CHECKING:
    from asyncfabric.aws._fault import Fault

_ENDED_ITSELF = re.compile(rf"exit status {EXPIRED_STATUS}\b")
_AWAY = frozenset({"connect", "dns"})
"""No connection was to be had. (These are no codes of AWS's.)"""
_ODD = frozenset({"malformed", "oversized"})
"""What came is no reply of Lambda's, perhaps not even HTTP."""
_GUARD = re.compile(r"exit status 1\b.*^ *Timeout \(\d+:\d\d:\d\d", re.DOTALL | re.MULTILINE)
"""What the interpreter's fault handler writes to the log when it ends the process."""


def is_worth_another(fault: Fault) -> bool:
    """Tell whether another attempt may end otherwise.

    Not so for lack of memory (every worker has as much) nor for a timeout.
    """
    return fault.kind in {"transient", "ambiguous"} or isinstance(fault.error, WorkerCrashed)


def may_have_run(fault: Fault) -> bool:
    """Tell whether user code may have run."""
    return fault.kind in {"ambiguous", "function"}


def told_as_timeout(fault: Fault, timeout: float | None) -> Fault:
    """Return the fault as the timeout that it is, where the worker ended itself for one."""
    message = fault.message
    if fault.kind != "function" or not (_ENDED_ITSELF.search(message) or _GUARD.search(message)):
        return fault
    within = "the function's time" if timeout is None else f"timeout={timeout:g} s"
    text = (
        f"the attempt did not finish within {within}, nor could it be stopped, so that its worker "
        f"was ended (request id {fault.request_id}); give a larger timeout= or smaller inputs"
    )
    return fault._replace(message=text, error=AttemptTimeout(text))


def of_acquaintance(fault: Fault, *, known: bool) -> Fault:
    """Return the fault as what it is where the service has answered before, or never has.

    One that is known to be there is waited for, and may say something odd for once. With one that
    was never heard of, most likely its address is wrong.
    """
    if known and fault.kind == "transient" and fault.code in _AWAY:
        return fault._replace(kind="throttle")
    if not known and fault.code in _ODD:
        return fault._replace(kind="terminal")
    return fault


def scarce(fault: Fault) -> Literal["concurrency", "rate", "reach"]:
    """Tell what there was too little of for a throttled invocation."""
    if fault.code in _AWAY:
        return "reach"
    return "rate" if "Rate" in fault.reason else "concurrency"
