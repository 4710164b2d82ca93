"""Wall time, CPU time and peak memory of the driver process over a stretch of code."""

from __future__ import annotations

import gc
import os
import resource
import sys
import time
from pathlib import Path
from typing import Self

from bench.processes import descendants

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def _status_bytes(field: str) -> int | None:
    if not _STATUS.exists():
        return None
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return None


def rss() -> int:
    """Return the resident memory of this process in bytes (its peak where the system hides it)."""
    return _status_bytes("VmRSS") or peak_rss()


def peak_rss() -> int:
    """Return the peak resident memory of this process in bytes.

    Not `ru_maxrss` on Linux: that one starts at the peak of the process that forked this one.
    """
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak_rss() -> None:
    """Start a new peak at the memory resident now, where the system can (Linux)."""
    try:
        _CLEAR_REFS.write_text("5", encoding="ascii")
    except OSError:
        return


def others_cpu() -> float:
    """Return the CPU seconds of every process below this one, ended children included."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + sum(child.cpu_s for child in descendants(os.getpid()))


class Meter:
    """Measure a `with` block: seconds of wall and CPU time, bytes of memory.

    `driver_cpu_s` is this process with all of its threads; `others_cpu_s` what the processes
    below it spent (workers, daemons). `peak_rss` is absolute, `base_rss` the memory at the start.
    """

    wall_s: float
    driver_cpu_s: float
    others_cpu_s: float
    base_rss: int
    peak_rss: int

    def __enter__(self) -> Self:
        """Start the clocks, after a garbage collection."""
        gc.collect()
        reset_peak_rss()
        self.base_rss = rss()
        self._others = others_cpu()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clocks."""
        self.wall_s = time.perf_counter() - self._wall
        self.driver_cpu_s = time.process_time() - self._cpu
        self.others_cpu_s = others_cpu() - self._others
        self.peak_rss = peak_rss()

    def metrics(self, n: int) -> dict[str, float]:
        """Return what was measured over `n` calls, as the tables' metrics."""
        return {
            "wall_s": self.wall_s,
            "rate": n / self.wall_s,
            "driver_cpu_us": self.driver_cpu_s / n * 1e6,
            "others_cpu_us": self.others_cpu_s / n * 1e6,
            "peak_rss": float(self.peak_rss),
            "grown_rss": float(max(0, self.peak_rss - self.base_rss)),
        }
