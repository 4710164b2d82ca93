"""How much memory a worker and its children occupy."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

_MIB = 1024 * 1024


def occupied(pid: int) -> int:
    """Return what a process and its descendants occupy, in MiB; 0 when it has ended."""
    total = 0
    family = [pid]
    for each in family:
        # Ended meanwhile, or (children) a kernel without that list.
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(_read(f"/proc/{each}/statm").split()[1])
            for thread in Path(f"/proc/{each}/task").iterdir():
                family += map(int, _read(f"{thread}/children").split())
    return total * mmap.PAGESIZE // _MIB


def peak(pid: int) -> int:
    """Return the most that a process itself has occupied, in MiB; 0 when it has ended."""
    try:
        text = _read(f"/proc/{pid}/status")
        at = text.index("VmHWM:")
    except (OSError, ValueError):
        return 0
    return int(text[at : at + 40].split()[1]) // 1024


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - called often
        return file.read()
