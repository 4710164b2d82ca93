"""How a failed call is told to the driver: as text, and where it can be as the exception itself."""

from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType

USER = "user"  # the user's function raised
TIMEOUT = "timeout"  # the attempt outlived its timeout
ARGUMENT = "argument"  # the input could not be read in the worker
RESULT = "result"  # what the function returned could not be sent
LOAD = "load"  # the function, a shared value or the initializer could not be loaded
MISMATCH = "mismatch"  # driver and worker don't fit
STORE = "store"  # the result could not be written to the store

_TEXT_LIMIT = 64 * 1024


class Failure(NamedTuple):
    """What went wrong in one call.

    Attributes:
        kind: one of "user", "timeout", "argument", "result", "load", "mismatch" and "store".
        type_name: the exception's type.
        message: its text, at most about 64 K characters.
        traceback: the traceback as text, at most about 64 K characters.
        pickled: the exception itself, where it survives the way; None otherwise.
    """

    kind: str
    type_name: str
    message: str
    traceback: str
    pickled: bytes | None = None


def describe(
    error: BaseException, kind: str = USER, *, message: str | None = None, as_text: bool = False
) -> Failure:
    """Turn an exception into a failure that can always be sent; `as_text`: without any pickle."""
    text = said(error) if message is None else message
    pickled = None if as_text else _pickled(error)
    return Failure(kind, type(error).__qualname__, _cut(text), traceback_of(error), pickled)


def traceback_of(error: BaseException) -> str:
    """Return an exception's traceback as text, at most about 64 K characters."""
    return _cut(_formatted(error))


def failure_of(
    error: BaseException, kind: str, late: float | None = None, *, as_text: bool = False
) -> Failure:
    """Tell of what a call raised; `late` is its limit in seconds, where it came too late for it."""
    if late is not None:
        return timed_out(late, traceback_of(error))
    if kind == ARGUMENT:
        message = (
            f"the worker can't read the call's input: {said(error)}; what the input is made of "
            "must be importable in the worker"
        )
        return describe(error, ARGUMENT, message=message, as_text=as_text)
    return describe(error, as_text=as_text)


def timed_out(timeout: float | None, traceback: str) -> Failure:
    """Tell that an attempt outlived its timeout, and where it was."""
    message = f"the attempt did not finish within timeout={timeout:g} s" if timeout else "timed out"
    return Failure(TIMEOUT, "AttemptTimeout", message, traceback)


def _formatted(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(_without_our_frames(error)))
    except BaseException as broken:  # noqa: BLE001 - formatting runs code of the exception's class
        return f"{type(error).__qualname__} (its traceback can't be made: {type(broken).__name__})"


def said(error: BaseException) -> str:
    """Return an exception's text, whatever its class thinks of that."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - a broken __str__ must not hide the failure
        return f"<{type(error).__qualname__} whose text can't be made>"


def _cut(text: str) -> str:
    if len(text) <= _TEXT_LIMIT:
        return text
    half = _TEXT_LIMIT // 2
    left_out = len(text) - _TEXT_LIMIT
    return f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"


def _without_our_frames(error: BaseException) -> BaseException:
    """Drop the runtime's own frames from the top of the traceback: they tell a user nothing."""
    here = __name__.partition(".")[0]
    frames = error.__traceback__
    while frames is not None and _package(frames) == here:
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error


def _package(frame: TracebackType) -> str:
    name: str = frame.tb_frame.f_globals.get("__package__") or ""
    return name.partition(".")[0]


def _pickled(error: BaseException) -> bytes | None:
    """Pickle an ordinary exception, if what comes out reads back as the same type.

    `StopIteration` and the non-`Exception`s (CancelledError, KeyboardInterrupt, SystemExit) would
    steer the driver's own event loop if they were raised there, so they travel as text.
    """
    if not isinstance(error, Exception) or isinstance(error, StopIteration | StopAsyncIteration):
        return None
    from ._values import dump

    try:
        data, buffers = dump(error)
        if buffers:
            return None
        back = pickle.loads(data)
        str(back)
    except BaseException:  # noqa: BLE001 - whatever user code raises means: it can't be sent
        return None
    return data if type(back) is type(error) else None
