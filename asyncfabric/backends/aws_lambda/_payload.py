"""Frames as the JSON that Lambda's Python runtime passes on, and back."""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from typing import TYPE_CHECKING, Any, cast

from asyncfabric._exceptions import (
    ConfigurationError,
    DeploymentError,
    IntegrityError,
    VersionMismatch,
)
from asyncfabric_runtime import PYTHON, WIRE_VERSION, WireError
from asyncfabric_runtime._wire import PREFIX, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncfabric_storage._buffers import Buffer

_QUOTE = ord('"')


def to_payload(frame: Sequence[Buffer]) -> bytes:
    """Return a frame as a JSON string."""
    data = frame[0] if len(frame) == 1 else b"".join(frame)
    return b'"%b"' % b2a_base64(data, newline=False)


def from_body(
    body: bytes | bytearray, function: str, redeploy: str
) -> tuple[int, list[memoryview]]:
    """Read the frame that a function answered with: its kind and segments.

    `redeploy` is the command that publishes the function anew.

    Raises `WireError` where the answer makes no sense, `VersionMismatch` or `DeploymentError` where
    the function refused to serve, and `ConfigurationError` where it is no function of ours.
    """
    if not body or body[0] != _QUOTE:
        raise _refusal(body, function, redeploy)
    try:
        data: bytes | bytearray = a2b_base64(memoryview(body)[1:-1], strict_mode=True)
        if len(data) > PREFIX.size and data[7] != 1:  # several segments: arrays, to be writable
            data = bytearray(data)
        return unpack(data)
    except Base64Error as error:
        raise WireError(str(error)) from error


def unreadable(function: str, why: object, redeploy: str) -> VersionMismatch:
    """Return the error of an answer that makes no sense here."""
    return VersionMismatch(
        f"the answer of function {function} can't be read: {why}; publish the function that fits "
        f"this driver: {redeploy}"
    )


def _refusal(body: bytes | bytearray, function: str, redeploy: str) -> Exception:
    try:
        told: Any = json.loads(body)
    except (ValueError, RecursionError):
        told = None
    answer = cast("dict[str, Any]", told if isinstance(told, dict) else {})
    if "asyncfabric" not in answer:
        return ConfigurationError(
            f"function {function} is no worker of asyncfabric: it answered {len(body):,} bytes of "
            "something else; give lambda:// the name of a deployed family, or deploy one: "
            f"{redeploy}"
        )
    wire, python = answer.get("wire"), answer.get("python")
    reason = f"function {function} refused to serve: {answer.get('reason')}"
    if answer.get("integrity") is False:
        return IntegrityError(f"{reason}. Run it again, and find out who writes to the store")
    if (wire, python) == (WIRE_VERSION, PYTHON):
        return DeploymentError(f"{reason}; see its log, and what asyncfabric doctor says")
    return VersionMismatch(
        f"{reason}. It has wire version {wire} and Python {python}, this driver {WIRE_VERSION} and "
        f"{PYTHON}; publish the function that fits: {redeploy}"
    )
