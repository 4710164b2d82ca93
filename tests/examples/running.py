"""How tests run an example: as a program of its own, with nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.sources import ROOT

_PATH = os.pathsep.join(str(ROOT / folder) for folder in (".", "runtime", "storage"))
_PATIENCE = 50.0  # seconds, for a hung program


def start(
    scratch: Path, name: str, *arguments: str, where: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start an example in a process group of its own, its output one pipe.

    `where` are environment variables that say where it runs: by default on this machine.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ASYNCFABRIC_")}
    environment |= {"PYTHONPATH": _PATH, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    environment |= where or {}
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        process_group=0,
    )


def finish(process: subprocess.Popen[str], scratch: Path, patience: float = _PATIENCE) -> str:
    """Wait for its end; hold that no process and no file is left of it; return its output."""
    try:
        output, _ = process.communicate(timeout=patience)
        assert is_gone(process.pid), f"processes are left of it\n{output}"
    finally:
        kill(process)
    assert list(scratch.iterdir()) == []
    return output


def run(
    scratch: Path,
    name: str,
    *arguments: str,
    where: Mapping[str, str] | None = None,
    patience: float = _PATIENCE,
) -> str:
    """Run an example to its good end; return what it printed."""
    process = start(scratch, name, *arguments, where=where)
    output = finish(process, scratch, patience)
    assert process.returncode == 0, output
    assert "Traceback" not in output, output
    return output


def is_gone(group: int) -> bool:
    """Tell whether a process group has ended; workers may take a moment after their driver."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def kill(process: subprocess.Popen[str]) -> None:
    """End a process group for good."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    else:
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
