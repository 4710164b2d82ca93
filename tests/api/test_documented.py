"""The programs of docs/scheduling.md, as a reader would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sources import ROOT

TEXT = (ROOT / "docs" / "scheduling.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_its_programs_run(number: int, tmp_path: Path) -> None:
    assert len(PROGRAMS) == 2
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number], encoding="utf-8")
    packages = os.pathsep.join(str(ROOT / each) for each in (".", "runtime", "storage"))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": packages, "ASYNCFABRIC_BACKEND": "local://?processes=2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert ("1,030 calls finished, 0 failed" in done.stdout) == (number == 0)
