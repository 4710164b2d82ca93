"""What there is of everything, counted."""

import asyncio
import gc
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import psutil

_OURS = ("asyncfabric.", "asyncfabric_runtime.", "asyncfabric_storage.")


class Census(NamedTuple):
    """Counts at one moment, with nothing under way.

    Attributes:
        calls: how many were made before.
        tasks: of asyncio.
        threads: of this process.
        processes: its children.
        descriptors: open ones.
        objects: live objects of each of our classes.
        memory: bytes of this process that are resident.
        workers: bytes of its children that are resident, the largest of them.
    """

    calls: int
    tasks: int
    threads: int
    processes: int
    descriptors: int
    objects: Counter[str]
    memory: int
    workers: int

    def __str__(self) -> str:
        return (
            f"{self.calls:>9,} calls: {self.tasks} tasks, {self.threads} threads, "
            f"{self.processes} processes, {self.descriptors} descriptors, "
            f"{sum(self.objects.values())} objects, {self.memory / 2**20:.1f} MB, "
            f"workers {self.workers / 2**20:.1f} MB"
        )


def take(calls: int) -> Census:
    """Count everything."""
    gc.collect()
    objects = Counter(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in map(type, gc.get_objects())
        if str(kind.__module__).startswith(_OURS)
    )
    children = psutil.Process().children(recursive=True)
    return Census(
        calls,
        len(asyncio.all_tasks()),
        threading.active_count(),
        len(children),
        len(list(Path("/dev/fd").iterdir())) if sys.platform != "win32" else 0,
        objects,
        psutil.Process().memory_info().rss,
        max((_resident(child) for child in children), default=0),
    )


def _resident(process: psutil.Process) -> int:
    try:
        resident: int = process.memory_info().rss
    except psutil.Error:
        return 0
    return resident


def directories() -> set[str]:
    """Return the names of our temporary directories."""
    return {
        path.name
        for path in Path(tempfile.gettempdir()).iterdir()
        if path.name.startswith("asyncfabric")
    }


def differences(before: Census, after: Census) -> list[str]:
    """Describe what there is more of; threads of pools come one by one and stay."""
    grown = [
        f"{name}: {was} before, {now} now"
        for name, was, now in (
            ("tasks", before.tasks, after.tasks),
            ("threads", before.threads, after.threads),
            ("processes", before.processes, after.processes),
            ("descriptors", before.descriptors, after.descriptors),
        )
        if now > was
    ]
    grown += [
        f"{name}: {before.objects[name]} before, {count} now"
        for name, count in sorted(after.objects.items())
        if count > before.objects[name]
    ]
    return grown
