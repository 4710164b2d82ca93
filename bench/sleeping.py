"""Functions for the workers that sleep, some of them much longer at first.

They import next to nothing: what a worker's first call takes must not hide what is measured.
"""

from __future__ import annotations

import os
import time


def slow_at_first(marks: str, slow: frozenset[int], seconds: float, x: int) -> int:
    """Sleep and return `x`; the first execution of a slow one sleeps ten times as long."""
    time.sleep(_slowness(marks, slow, x) * seconds)
    return x


async def slow_at_first_async(marks: str, slow: frozenset[int], seconds: float, x: int) -> int:
    """Do the same, as a coroutine function."""
    import asyncio

    await asyncio.sleep(_slowness(marks, slow, x) * seconds)
    return x


def _slowness(marks: str, slow: frozenset[int], x: int) -> float:
    if x not in slow:
        return 1.0
    try:
        os.close(os.open(f"{marks}/{x}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return 1.0
    return 10.0
