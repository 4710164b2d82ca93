"""Processes below a process, read from Linux' /proc: their CPU time, and ending those left over.

Elsewhere there is no /proc and the answers are empty: tables then lack the columns made of them.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PR_SET_CHILD_SUBREAPER = 36
_KILL_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc describes it; `cpu_s` counts the children it has waited for too."""

    pid: int
    parent: int
    name: str
    state: str
    cpu_s: float


def _read(pid: int) -> Process | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone in the meantime
        return None
    # The name is in parentheses and may hold spaces and parentheses itself.
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    ticks = sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return Process(pid, int(fields[1]), name, fields[0], ticks / _TICKS_PER_SECOND)


def descendants(root: int) -> list[Process]:
    """Return every live process below `root`, nearest first, zombies left out."""
    if not _PROC.is_dir():
        return []
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    everything = [process for number in numbers if (process := _read(number))]
    found: list[Process] = []
    level = {root}
    while level:
        below = [process for process in everything if process.parent in level]
        found += below
        level = {process.pid for process in below}
    return [process for process in found if process.state != "Z"]


def adopt_orphans() -> None:
    """Make this process the parent of the orphans below it, so that it can find and end them."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_leftovers(keep: frozenset[int], *, grace: float) -> list[str]:
    """End what is left below this process except `keep`; return the names of what had to be killed.

    Helpers that end by themselves once their parent is gone (multiprocessing's resource tracker,
    say) get `grace` seconds to do so.
    """
    deadline = time.monotonic() + grace
    while (left := _left(keep)) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed = sorted(process.name for process in left)
    for _ in range(_KILL_ROUNDS):  # a killed parent may have just forked
        if not left:
            break
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.02)
        left = _left(keep)
    return killed


def _left(keep: frozenset[int]) -> list[Process]:
    _reap()
    return [process for process in descendants(os.getpid()) if process.pid not in keep]


def _reap() -> None:
    """Collect the exit status of adopted orphans.

    Called only between two measured processes, when none of subprocess' own is outstanding.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
