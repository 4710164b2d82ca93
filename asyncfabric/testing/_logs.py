"""The log of an invocation as Lambda keeps it: START, the function's output, END, REPORT."""

from __future__ import annotations

from datetime import datetime, timezone
from math import ceil
from typing import NamedTuple

_KEPT = 4096
"""Bytes of the log that an answer with `LogType=Tail` carries: the last ones."""


class Report(NamedTuple):
    """What the REPORT line says. Times are in seconds, memory in MiB."""

    duration: float
    init: float | None
    memory: int
    used: int
    status: str = ""
    error_type: str = ""


class LogTail:
    """The last 4 KB that an environment has logged."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, text: bytes) -> None:
        """Add to the end."""
        self._kept += text
        if len(self._kept) > 2 * _KEPT:
            del self._kept[:-_KEPT]

    def take(self) -> bytes:
        """Return what there is, and begin anew."""
        taken = bytes(self._kept[-_KEPT:])
        self._kept.clear()
        return taken


def start_line(request_id: str, version: str) -> bytes:
    """Return the line that an invocation begins with."""
    return f"START RequestId: {request_id} Version: {version}\n".encode()


def timeout_line(request_id: str, timeout: float) -> bytes:
    """Return the line of an invocation that outlived its timeout, given in seconds."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]  # noqa: UP017
    return f"{now}Z {request_id} Task timed out after {timeout:.2f} seconds\n\n".encode()


def end_lines(request_id: str, report: Report) -> bytes:
    """Return the lines that an invocation ends with."""
    milliseconds = report.duration * 1000
    init = (report.init or 0.0) * 1000
    parts = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {milliseconds:.2f} ms",
        f"Billed Duration: {ceil(milliseconds + init)} ms",
        f"Memory Size: {report.memory} MB",
        f"Max Memory Used: {report.used} MB",
    ]
    if report.init is not None:
        parts.append(f"Init Duration: {init:.2f} ms")
    if report.status:
        parts.append(f"Status: {report.status}")
    if report.error_type:
        parts.append(f"Error Type: {report.error_type}")
    return f"END RequestId: {request_id}\n{chr(9).join(parts)}\t\n".encode()
