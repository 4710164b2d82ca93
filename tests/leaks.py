"""What a test may not leave behind: processes, threads, file descriptors, temporary directories.

A snapshot costs some 0.1 ms where /proc exists, so one is taken around every test.
"""

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from pathlib import Path

import psutil

# Processes that the standard library starts once and keeps.
_STANDARD = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
_GRACE = 2.0  # seconds that an asynchronous end may take


_WORKER = "asyncfabric_runtime._worker"
_DESCRIPTORS_OF_A_WORKER = 3  # two sockets, and the page that is shared with it


@dataclass(slots=True)
class _Kept:
    processes: set[int] = field(default_factory=set[int])
    descriptors: set[int] = field(default_factory=set[int])
    workers: int = 0


KEPT = _Kept()
"""What serves the whole run, started by whichever test asks first: the cloud's emulators.

`workers` is the size of a pool that a module's tests share: a worker of it that a test has stopped
is replaced whenever the machine gets to it, which may be in the next test.
"""


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
    replaced = _replaced(new_children, after)
    new_children -= replaced
    return [
        *(f"process {_describe(pid)}" for pid in new_children if _is_ours(pid)),
        *(f"{thread}" for thread in after.threads - before.threads),
        *(f"descriptor {fd} -> {to}" for fd, to in _new_descriptors(before, after, len(replaced))),
        *(f"directory {name}" for name in after.directories - before.directories),
    ]


def _replaced(new: frozenset[int], after: Snapshot) -> frozenset[int]:
    """Return those of the new processes that took the place of a shared pool's workers."""
    if not (new and KEPT.workers):
        return frozenset()
    workers = frozenset(pid for pid in after.children if _WORKER in _describe(pid))
    return new & workers if len(workers) <= KEPT.workers else frozenset()


def _new_descriptors(before: Snapshot, after: Snapshot, workers: int) -> list[tuple[int, str]]:
    new = after.descriptors - before.descriptors
    tracker = getattr(resource_tracker, "_resource_tracker", None)
    kept = {getattr(tracker, "_fd", None), *KEPT.descriptors}
    # The random device and files of Python itself are opened once, on first use.
    found = [(fd, to) for fd, to in new if fd not in kept and not to.startswith("/dev/")]
    theirs = [(fd, to) for fd, to in found if to.startswith("socket:") or "(deleted)" in to]
    if len(theirs) <= workers * _DESCRIPTORS_OF_A_WORKER:
        return [each for each in found if each not in theirs]
    return found


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
