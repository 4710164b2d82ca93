"""One virtual environment per emulator: their pins of botocore exclude each other and ours.

`python -m tests.cloud.environments` makes them all; tests make those that they need. Python with
venv and pip is enough. To move the pins, for example:

    uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --upgrade tests/cloud/moto.in -o tests/cloud/moto.txt
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, get_args

Emulator = Literal["ministack", "moto"]
EMULATORS: tuple[Emulator, ...] = get_args(Emulator)

_HERE = Path(__file__).resolve().parent
_ENVIRONMENTS = _HERE.parents[1] / ".venv-cloud"


def pins(emulator: Emulator) -> Path:
    """The requirements file an environment is made from."""
    return _HERE / f"{emulator}.txt"


def environment(
    emulator: Emulator,
    *,
    parent: Path = _ENVIRONMENTS,
    requirements: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Return the emulator's Python; its environment is made unless it is there and up to date.

    Several processes may ask at once: one makes it, the others wait.

    Raises:
        RuntimeError: it can't be made; the message holds what pip said.
    """
    requirements = requirements or pins(emulator)
    parent.mkdir(exist_ok=True)
    directory = parent / emulator
    python = directory / "bin" / "python"
    stamp = directory / "made-of"
    made_of = hashlib.sha256(
        repr([sys.version, sys.base_prefix, str(directory), requirements.read_bytes()]).encode()
    ).hexdigest()
    with (parent / f"{emulator}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if stamp.read_text(encoding="utf-8") == made_of and python.exists():
                return python
        say(f"== environment: {directory}, from {requirements.name}, with {sys.executable}")
        shutil.rmtree(directory, ignore_errors=True)
        base = getattr(sys, "_base_executable", sys.executable)
        _run(base, "-m", "venv", str(directory))
        _run(
            *(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--requirement", str(requirements)),
        )
        stamp.write_text(made_of, encoding="utf-8")
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = (
            f"{' '.join(command)} ended with status {done.returncode}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-2000:]}\n"
            "See that the package index can be reached, then run python -m tests.cloud.environments"
        )
        raise RuntimeError(msg)


if __name__ == "__main__":
    for each in EMULATORS:
        print(environment(each))
