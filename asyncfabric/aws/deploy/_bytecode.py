"""Bytecode ahead of time: a worker can't keep what it compiles, and would compile at each start."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from asyncfabric._exceptions import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# The bytecode of the same sources is always the same: no references, which would depend on what
# else this process holds (marshal version 2), and a fixed hash seed for the order of sets. The
# header says that the source needn't be looked at (PEP 552, unchecked).
_PROGRAM = """
import importlib.util, marshal, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
for line in sys.stdin.buffer.read().decode().split("\\0"):
    source, goal, place = line.split("\\1")
    data = Path(source).read_bytes()
    try:
        code = compile(data, place, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError, RecursionError):
        continue  # templates and tests of other Pythons; whoever imports one hears of it then
    header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
    Path(goal).write_bytes(header + importlib.util.source_hash(data) + marshal.dumps(code, 2))
"""


def compile_all(files: Mapping[str, Path], folder: Path, root: str) -> dict[str, Path]:
    """Compile the `.py` files among `files` and return the bytecode, by its name in an archive.

    Args:
        files: the files of an archive, by their names in it.
        folder: an empty directory for the results.
        root: where the archive will be unpacked; tracebacks say it.

    Raises:
        DeploymentError: the interpreter that compiles ended badly.
    """
    found: dict[str, Path] = {}
    lines: list[str] = []
    for number, name in enumerate(sorted(files)):
        if not name.endswith(".py") or "/tests/" in name:
            continue
        parent, _, module = name.rpartition("/")
        cached = f"{parent}/__pycache__/" if parent else "__pycache__/"
        goal = folder / f"{number}.pyc"
        lines.append(f"{files[name]}\1{goal}\1{root}/{name}")
        found[f"{cached}{module[:-3]}.{sys.implementation.cache_tag}.pyc"] = goal
    if lines:
        _run("\0".join(lines))
    return {name: goal for name, goal in found.items() if goal.exists()}


def _run(work: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-S", "-s", "-B", "-c", _PROGRAM],
        input=work.encode(),
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        msg = f"compiling the package failed: {words[-1] if words else 'no message'}; try again"
        raise DeploymentError(msg)
