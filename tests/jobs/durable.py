"""What tests of durable maps run.

These functions refer to nothing of this package: its files would be part of each job's code, and a
job of a test is not to be refused because somebody edits another test meanwhile.
"""

import asyncio
from collections.abc import Callable
from typing import Any


def noting(directory: str) -> Callable[[object], None]:
    """Return what notes in a directory that something ran; see `tests.api.work.noted`."""

    def note(name: object) -> None:
        import os
        import uuid

        with open(os.path.join(directory, f"{name}.{uuid.uuid4().hex}"), "x"):  # noqa: PTH118, PTH123
            pass

    return note


def ten_times(directory: str) -> Callable[[int], int]:
    """Return a function that notes its runs."""
    note = noting(directory)

    def ten(x: int) -> int:
        note(x)
        return 10 * x

    return ten


def ten_times_async(directory: str) -> Callable[[int], Any]:
    """Return a coroutine function that notes its runs."""
    note = noting(directory)

    async def ten(x: int) -> int:
        note(x)
        await asyncio.sleep(0)
        return 10 * x

    return ten


def fails_at(directory: str, *bad: int) -> Callable[[int], int]:
    """Return a function that notes its runs and fails for some inputs."""
    note = noting(directory)

    def fails(x: int) -> int:
        note(x)
        if x in bad:
            raise ValueError(f"bad: {x}")
        return 10 * x

    return fails
