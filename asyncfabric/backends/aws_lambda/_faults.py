"""What a fault means for the calls of its invocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from asyncfabric._exceptions import WorkerCrashed

if TYPE_CHECKING:
    from asyncfabric.aws._fault import Fault

_AFTER_THE_FACT = frozenset({"ServiceException", "InternalFailure", "InternalServerError"})
"""Faults of the service that may come when the function has run already."""


def is_worth_another(fault: Fault) -> bool:
    """Tell whether another attempt may end otherwise.

    Not so for lack of memory (every worker has as much) nor for a timeout.
    """
    return fault.kind in {"transient", "ambiguous"} or isinstance(fault.error, WorkerCrashed)


def may_have_run(fault: Fault) -> bool:
    """Tell whether user code may have run."""
    return fault.kind in {"ambiguous", "function"} or fault.code in _AFTER_THE_FACT


def scarce(fault: Fault) -> Literal["concurrency", "rate"]:
    """Tell what there was too little of for a throttled invocation."""
    return "rate" if "Rate" in fault.reason else "concurrency"
