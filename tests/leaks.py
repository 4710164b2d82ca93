"""What a test may not leave behind: processes, threads, file descriptors, temporary directories.

A snapshot costs some 0.1 ms where /proc exists, so one is taken around every test.
"""

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import NamedTuple

import psutil

# Processes that the standard library starts once and keeps.
_STANDARD = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_GRACE = 2.0  # seconds that an asynchronous end may take


class _Kept(NamedTuple):
    processes: set[int]
    descriptors: set[int]


KEPT = _Kept(set(), set())
"""What serves the whole run, started by whichever test asks first: the cloud's emulators."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What this process holds at one moment."""

    children: frozenset[int]
    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    directories: frozenset[str]


def snapshot() -> Snapshot:
    """Take a snapshot of this process."""
    return Snapshot(
        children=frozenset(_children()),
        threads=frozenset(thread for thread in threading.enumerate() if not thread.daemon),
        descriptors=frozenset(_descriptors()),
        directories=frozenset(
            path.name
            for path in Path(tempfile.gettempdir()).iterdir()
            if path.name.startswith("asyncfabric")
        ),
    )


def leaked_since(before: Snapshot, *, grace: float = _GRACE) -> list[str]:
    """Describe what is held now and was not before, after ``grace`` seconds to let go of it."""
    deadline = time.monotonic() + grace
    collected = False
    while leaks := _difference(before, snapshot()):
        if time.monotonic() > deadline:
            return leaks
        if not collected:
            gc.collect()
            collected = True
        time.sleep(0.01)
    return []


def _difference(before: Snapshot, after: Snapshot) -> list[str]:
    new_children = after.children - before.children - KEPT.processes
    return [
        *(f"process {_describe(pid)}" for pid in new_children if _is_ours(pid)),
        *(f"{thread}" for thread in after.threads - before.threads),
        *(f"descriptor {fd} -> {to}" for fd, to in _new_descriptors(before, after)),
        *(f"directory {name}" for name in after.directories - before.directories),
    ]


def _new_descriptors(before: Snapshot, after: Snapshot) -> list[tuple[int, str]]:
    new = after.descriptors - before.descriptors
    tracker = getattr(resource_tracker, "_resource_tracker", None)
    kept = {getattr(tracker, "_fd", None), *KEPT.descriptors}
    # The random device and files of Python itself are opened once, on first use.
    return [(fd, to) for fd, to in new if fd not in kept and not to.startswith("/dev/")]


def _children() -> Iterator[int]:
    if sys.platform == "linux":
        try:
            for task in Path("/proc/self/task").iterdir():
                children = (task / "children").read_text(encoding="ascii")
                yield from map(int, children.split())
        except FileNotFoundError:  # a thread has ended meanwhile, or the kernel has no such list
            pass
        else:
            return
    for process in psutil.Process().children():
        yield process.pid


def _descriptors() -> Iterator[tuple[int, str]]:
    for path in Path("/dev/fd").iterdir():
        try:
            yield int(path.name), str(path.readlink())
        except FileNotFoundError:  # the listing's own descriptor
            continue
        except OSError:  # no links, as on macOS
            yield int(path.name), "?"


def _is_ours(pid: int) -> bool:
    return not any(name in _describe(pid) for name in _STANDARD)


def _describe(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return f"{pid} ({process.status()}): {' '.join(process.cmdline())}"
    except psutil.NoSuchProcess:
        return f"{pid} (ended)"
