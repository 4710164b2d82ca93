"""Wall and CPU time of short `python -c` scripts, beside the bare interpreter's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median

_ROUNDS = 5
_BARE = "pass"


def _run(code: str) -> tuple[float, float]:
    """Run `code` in a new interpreter; return its wall and CPU milliseconds."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"exit code {process.returncode} of: {code.strip()}"
        raise RuntimeError(message)
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3


def measure_script(code: str) -> dict[str, float]:
    """Run `code` and nothing in turn; return medians in ms, wall beyond the bare interpreter's."""
    _run(code)  # bytecode is compiled and files are in the page cache after this
    runs = [(_run(_BARE), _run(code)) for _ in range(_ROUNDS)]
    bare_wall, bare_cpu = (median(bare[i] for bare, _ in runs) for i in (0, 1))
    wall, cpu = (median(full[i] for _, full in runs) for i in (0, 1))
    return {
        "ms": max(0.0, wall - bare_wall),
        "worker_cpu_ms": cpu,
        "net_cpu_ms": max(0.0, cpu - bare_cpu),
    }
