"""Runs the cells of a table: interleaved, each repetition in a fresh process with a time limit."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import site
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bench.machine import describe_machine, versions
from bench.model import Cell, Repetition, Row, TableResult
from bench.processes import adopt_orphans, descendants, end_leftovers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.tables import Table

ROOT = Path(__file__).resolve().parent.parent
_SEED = 2017
_LINES_OF_STDERR = 3
_GRACE_SECONDS = 3.0

Execute: TypeAlias = "Callable[[Cell], Repetition]"


def run_table(
    table: Table,
    cells: Sequence[Cell],
    *,
    repeat: int,
    smoke: bool,
    execute: Execute,
    progress: Callable[[str], None],
) -> TableResult:
    """Measure every cell `repeat` times, in another random order each time round.

    A cell that is missing or ran out of time is not tried again: it would be so again.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    clock = time.monotonic()
    machine = describe_machine()
    repetitions: dict[str, list[Repetition]] = {cell.key: [] for cell in cells}
    order = list(cells)
    shuffle = random.Random(_SEED).shuffle
    for number in range(repeat):
        shuffle(order)
        for cell in order:
            done = repetitions[cell.key]
            if any(repetition.status in {"missing", "timeout"} for repetition in done):
                continue
            repetition = execute(cell)
            done.append(repetition)
            progress(f"{table.name} {number + 1}/{repeat} {cell.key}: {_brief(repetition)}")
    return TableResult(
        table=table.name,
        smoke=smoke,
        repeat=repeat,
        started=started,
        seconds=round(time.monotonic() - clock, 1),
        machine=machine,
        versions=versions({cell.peer for cell in cells}),
        rows=tuple(Row(cell, tuple(repetitions[cell.key])) for cell in cells),
    )


def _brief(repetition: Repetition) -> str:
    if repetition.status != "ok":
        return f"{repetition.status}, {repetition.reason}"
    name, value = next(iter(repetition.metrics.items()))
    return f"{name} {value:.4g}"


def execute_in_process(cell: Cell) -> Repetition:
    """Measure the cell once in a fresh process; whatever that leaves behind is ended and noted."""
    adopt_orphans()
    keep = frozenset(process.pid for process in descendants(os.getpid()))
    # Short: Ray keeps sockets below it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="b", ignore_cleanup_errors=True) as scratch:
        output = Path(scratch) / "repetition.json"
        errors = Path(scratch) / "stderr"
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.child", json.dumps(asdict(cell)), str(output)],
                cwd=ROOT,
                env=_environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )
            finished = False
            try:
                process.wait(cell.timeout_s)
                finished = True
            except subprocess.TimeoutExpired:
                pass
            finally:  # also at Ctrl-C
                _end(process)
                killed = end_leftovers(keep, grace=_GRACE_SECONDS if finished else 0)
        if not finished:
            return Repetition("timeout", f"no result within {cell.timeout_s:g} s")
        if not output.exists():
            return Repetition("failed", f"exit code {process.returncode}; {_tail(errors)}")
        repetition = Repetition.from_json(json.loads(output.read_text(encoding="utf-8")))
    if repetition.status == "ok" and killed:
        return Repetition("ok", "", {**repetition.metrics, "left_processes": float(len(killed))})
    return repetition


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with its group if it still runs."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(scratch: str) -> dict[str, str]:
    """Return this environment with a scratch directory, no telemetry and no cloud account in it."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ASYNCFABRIC_", "AWS_", "DASK_", "LITHOPS_", "RAY_"))
    }
    return environment | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": scratch,  # Ray and lithops write there
        "PYTHONPATH": os.pathsep.join(
            path for path in (str(ROOT), os.environ.get("PYTHONPATH", "")) if path
        ),
        "PYTHONUSERBASE": site.getuserbase(),
        "RAY_USAGE_STATS_ENABLED": "0",
        "TMPDIR": scratch,
    }


def _tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " | ".join(lines[-_LINES_OF_STDERR:]) or "nothing on stderr"
