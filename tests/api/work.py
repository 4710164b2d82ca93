"""Functions that the tests send to workers, and what they tell the test through files."""

import asyncio
import os
import time
from pathlib import Path

PATIENCE = 30.0  # seconds; a bound for what happens in milliseconds


def square(x: int) -> int:
    return x * x


async def square_async(x: int) -> int:
    await asyncio.sleep(0)
    return x * x


def echo(x: object) -> object:
    return x


def pid(_: object = None) -> int:
    return os.getpid()


def odd_fails(x: int) -> int:
    if x % 2:
        raise ValueError(f"odd: {x}")
    return x


def fail(x: object) -> object:
    raise ValueError(f"failed: {x}")


def note(directory: str, name: object) -> None:
    """Leave a mark; marks of one name count up."""
    for number in range(1_000_000):
        try:
            with Path(directory, f"{name}.{number}").open("x"):
                return
        except FileExistsError:
            continue


def noted(directory: str | Path) -> dict[str, int]:
    """Count the marks by name."""
    counts: dict[str, int] = {}
    for path in Path(directory).iterdir():
        name = path.name.rpartition(".")[0]
        counts[name] = counts.get(name, 0) + 1
    return counts


def wait_until_there(path: str | Path) -> None:
    """Block until a file exists."""
    deadline = time.monotonic() + PATIENCE
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path} never came")
        time.sleep(0.001)


def mark_and_wait(directory: str, x: int) -> int:
    """Leave the mark `x`, then block until there is a file `go`."""
    note(directory, x)
    wait_until_there(Path(directory, "go.0"))
    return x


async def mark_and_wait_async(directory: str, x: int) -> int:
    """As `mark_and_wait`, but not blocking; a cancel leaves the mark `cancelled`."""
    note(directory, x)
    deadline = time.monotonic() + PATIENCE
    try:
        while not Path(directory, "go.0").exists():
            if time.monotonic() > deadline:
                raise RuntimeError("nobody said go")
            await asyncio.sleep(0.001)
    except asyncio.CancelledError:
        note(directory, f"cancelled {x}")
        raise
    return x
