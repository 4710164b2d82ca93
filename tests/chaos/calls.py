"""What the workers of a chaotic job run, and how each execution is written down."""

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path

import asyncfabric as af

from .steps import wait_for, watch

Given = tuple[int, int, bool, str]
"""Which input it is, bytes of its result, whether it fails, the folder where all is noted."""

DRAWS = 3
"""The input whose call draws a random number."""

watch("worker")


class RefusedError(Exception):
    """What a call fails with that is to fail."""


def work(given: Given) -> tuple[int, str, float, bytes]:
    """Return what depends on nothing but the input and the job's seed; note the execution."""
    index, size, fails, folder = given
    _note(Path(folder) / "executions" / f"{index}")
    _ring(Path(folder) / "bell", index)
    _meet(Path(folder) / "traps" / f"{index}")
    _stop_at(Path(folder) / "gates" / f"{index}")
    if fails:
        raise RefusedError(f"input {index}")
    name = hashlib.sha256(f"{index}".encode()).hexdigest()
    # NumPy, which generators are of, takes a worker longer to load than all the rest.
    chance = float(af.current().rng().random()) if index == DRAWS else 0.0
    return index, name, chance, (name.encode() * (size // len(name) + 1))[:size]


def _note(file: Path) -> None:
    """Write down that the call runs: a byte each time, whichever process it is in."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(descriptor, b".")
    os.close(descriptor)


def _ring(bell: Path, index: int) -> None:
    """Tell whoever listens that the call runs."""
    with suppress(OSError):  # nobody listens
        descriptor = os.open(bell, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(descriptor, bytes([index]))
        os.close(descriptor)


def _meet(trap: Path) -> None:
    """Kill this process if there is a trap, which it takes along."""
    with suppress(FileNotFoundError):
        trap.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _stop_at(gate: Path) -> None:
    """Wait for as long as somebody holds the gate shut."""
    with suppress(FileNotFoundError):
        wait_for(gate)


def executions(folder: Path) -> dict[int, int]:
    """Return how often each input's call was begun."""
    return {int(file.name): file.stat().st_size for file in (folder / "executions").iterdir()}
