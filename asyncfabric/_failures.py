"""From a worker's report of a failure to the exception that the user sees."""

from __future__ import annotations

import pickle
import reprlib
from typing import TYPE_CHECKING

from asyncfabric_runtime import Failure
from asyncfabric_runtime import _failure as kinds

from ._exceptions import (
    AttemptTimeout,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    StorageError,
    VersionMismatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from asyncfabric_runtime import Plan

_TYPES: dict[str, Callable[[str], Exception]] = {
    kinds.TIMEOUT: lambda text: AttemptTimeout(f"{text}; give a larger timeout= or smaller inputs"),
    kinds.ARGUMENT: SerializationError,
    kinds.RESULT: SerializationError,
    kinds.MISMATCH: VersionMismatch,
    kinds.STORE: StorageError,
}


_OWN = (kinds.USER, kinds.LOAD, kinds.STORE)


def exception_for(failure: Failure, *, as_data: bool) -> Exception:
    """Make the exception: the user's own where it came along, one of ours otherwise.

    With `as_data` it is always one of ours: nothing is unpickled.
    """
    error = _own(failure) if failure.kind in _OWN and not as_data else None
    if error is None:
        make = _TYPES.get(failure.kind)
        if make is not None:
            error = make(failure.message)
        else:
            text = (
                f"{failure.type_name}: {failure.message}" if failure.message else failure.type_name
            )
            error = RemoteError(text, failure.type_name)
    elif failure.kind == kinds.LOAD:
        error.add_note(failure.message)
    error.__cause__ = RemoteTraceback(failure.traceback)
    return error


def _own(failure: Failure) -> Exception | None:
    if failure.pickled is None:
        return None
    try:
        error = pickle.loads(failure.pickled)
    except Exception:  # noqa: BLE001 - the type may not exist here; then its text has to do
        return None
    return error if isinstance(error, Exception) else None


def annotate(
    error: BaseException, plan: Plan, index: int, value: object, attempt: int, worker: str
) -> None:
    """Add the note that says which call failed, and where.

    Errors end up in logs. Where the parties don't trust each other, as in services, inputs don't.
    """
    where = f", on {worker}" if worker else ""
    hidden = plan.data_inputs or plan.data_results
    told = type(value).__qualname__ if hidden else _short(value)
    error.add_note(
        f"asyncfabric: call {index} of {plan.job}, attempt {attempt}{where}, input {told}"
    )


def _short(value: object) -> str:
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = 120
    try:
        return shortener.repr(value)
    except Exception:  # noqa: BLE001 - a user's __repr__
        return f"<{type(value).__qualname__}>"
