"""Little projects of users, written to a directory, and run in processes of their own."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.sources import PACKAGES, ROOT

PATH = os.pathsep.join(map(str, [ROOT, *{folder.parent for folder in PACKAGES.values()}]))


def write(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below a directory."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def prepend(patch: pytest.MonkeyPatch, path: Path) -> None:
    """Put a directory, or a zip file, first on sys.path."""
    patch.setattr(sys, "path", [str(path), *sys.path])
    importlib.invalidate_caches()


def importing(*statements: str, **names: object) -> Callable[[], object]:
    """Return a function of `__main__` that runs these import statements."""
    body = "".join(f"    {line}\n" for each in statements for line in each.splitlines())
    namespace: dict[str, Any] = {"__name__": "__main__", **names}
    exec(f"def call():\n{body}    return 0\n", namespace)
    call: Callable[[], object] = namespace["call"]
    return call


def drive(script: Path, *, cwd: Path | None = None, hash_seed: int = 0, path: str = "") -> Any:
    """Run a user's script, which ends with `pack(...)`; return what that has printed."""
    return _run([str(script)], cwd or script.parent, hash_seed, path)


def drive_module(project: Path, name: str) -> Any:
    """Run a module of a user's package by `python -m`, as `drive` runs a script."""
    return _run(["-m", name], project, 0, "")


def labour(out: Path, argument: object) -> Any:
    """Run the functions in a worker, somewhere else; return what they return."""
    away = out / "elsewhere"
    away.mkdir(exist_ok=True)
    return _run(["-m", "tests.shipping.carry", str(out), json.dumps(argument)], away, 1, "")


def _run(arguments: list[str], cwd: Path, hash_seed: int, path: str) -> Any:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(filter(None, [PATH, path])),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
