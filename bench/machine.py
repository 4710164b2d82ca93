"""What the measurements were made on: cores, memory, kernel, Python, versions of the peers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.peers import OURS, PEERS

if TYPE_CHECKING:
    from collections.abc import Iterable

_TOOLS = ("uvloop", "numpy", "cloudpickle")


def describe_machine() -> dict[str, str]:
    """Describe the machine at the start of a table, the load others put on it included."""
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {
        "cores": str(cores),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.2f}",
        "memory": f"{_memory_bytes() / (1 << 30):.1f} GiB",
        "processor": f"{_processor()} ({platform.machine()})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def versions(peers: Iterable[str]) -> dict[str, str]:
    """Return the versions of these peers' packages and of what they all rest on."""
    found = {
        name: _version(distribution)
        for name in sorted(peers)
        if (distribution := PEERS[name].distribution)
    }
    found |= {OURS: f"{found[OURS]}, commit {_commit()}"} if OURS in found else {}
    return found | {tool: _version(tool) for tool in _TOOLS}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """Return the checked-out commit, with a plus if the tree has changes beyond it."""
    try:
        run = partial(
            subprocess.run, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        commit = run(["git", "rev-parse", "--short", "HEAD"]).stdout.strip()
        changed = run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}{'+' if changed else ''}"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor()
