"""Durable jobs on a whole cloud: launched by one program, followed and finished by others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

pytestmark = pytest.mark.timeout(240)
Environment = dict[str, str]

TEXT = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
FIRST, FOLLOW, LEAVE = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(folder: Path, text: str, where: Environment, *arguments: str) -> str:
    """Run a program, or with arguments the command, to its good end."""
    program = folder / "program.py"
    program.write_text(text, encoding="utf-8")
    packages = os.pathsep.join(str(ROOT / each) for each in (".", "runtime", "storage"))
    what = ["-m", "asyncfabric", *arguments] if arguments else ["-W", "error", str(program)]
    done = subprocess.run(
        [sys.executable, *what],
        env={**os.environ, "PYTHONPATH": packages, "ASYNCFABRIC_KEY": "5a" * 32, **where},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_driven_and_followed(tmp_path: Path, environment: Environment) -> None:
    first = FIRST.replace("range(1000)", "range(40)")
    for _ in range(2):
        assert run(tmp_path, first, environment) == f"{sum(x * x for x in range(40))}\n"
    shown, *results = run(tmp_path, FOLLOW, environment).splitlines()
    assert "done=40, total=40, failed=0, drivers=2" in shown
    assert results == [str(x * x) for x in range(40)]
    assert run(tmp_path, "", environment, "jobs", "list") == "prices\n"
    assert "finished" in run(tmp_path, "", environment, "jobs", "show", "prices")
    assert "1 objects" in run(tmp_path, "", environment, "gc")  # the first driver's lease
    run(tmp_path, "", environment, "jobs", "discard", "prices", "--yes")
    assert run(tmp_path, "", environment, "jobs", "list") == ""


def test_launched_and_left(tmp_path: Path, environment: Environment) -> None:
    """Twelve events on a cloud that runs six at a time."""
    leave = LEAVE.replace("range(100)", "range(12)")
    output = run(tmp_path, leave, environment).splitlines()
    assert output == ["12 calls left to Lambda", str(sum(x * x for x in range(12)))]
    shown = run(tmp_path, "", environment, "jobs", "show", "overnight")
    assert "state   finished" in shown
    again = run(tmp_path, leave, environment).splitlines()
    assert again[0] == "0 calls left to Lambda"
