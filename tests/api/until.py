"""Waiting in a test for something that another task or process does."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from typing import Any

import psutil


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Let the loop run until a condition holds; fail if that takes too long."""
    deadline = time.monotonic() + seconds
    await asyncio.sleep(0)  # tasks that were just made begin
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.001)


async def passes(count: int = 20) -> None:
    """Let the loop do what it can do without waiting."""
    for _ in range(count):
        await asyncio.sleep(0)


def gone(pid: int) -> bool:
    """Tell whether a process has ended."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def untyped(value: Any) -> Any:
    """Use a value in a way that type checkers rightly refuse."""
    return value


async def take(stream: AsyncIterable[Any], taken: list[Any]) -> None:
    """Read a stream to its end, keeping what came before an error."""
    async for value in stream:
        taken.append(value)  # noqa: PERF401 - an error would lose a comprehension's values
