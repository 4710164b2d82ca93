"""The programs of docs/jobs.md, as a reader would run them."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asyncfabric.testing import LambdaFront
from tests.sources import ROOT

TEXT = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]


async def run(number: int, folder: Path, **variables: str) -> list[str]:
    """Run a program; return the lines it printed."""
    program = folder / f"program{number}.py"
    program.write_text(PROGRAMS[number], encoding="utf-8")
    packages = os.pathsep.join(str(ROOT / each) for each in (".", "runtime", "storage"))
    environment = {
        **os.environ,
        "PYTHONPATH": packages,
        "ASYNCFABRIC_STORAGE": (folder / "store").as_uri(),
        "ASYNCFABRIC_KEY": "5a" * 32,
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(program)),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    printed, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return printed.decode().splitlines()


async def test_a_job_and_its_results_in_another_process(tmp_path: Path) -> None:
    local = {"ASYNCFABRIC_BACKEND": "local://?processes=2"}
    assert len(PROGRAMS) == 3
    for _ in range(2):  # the second time it only reads
        assert await run(0, tmp_path, **local) == [str(sum(x * x for x in range(1000)))]
    first, *results = await run(1, tmp_path, **local)
    assert "done=1000, total=1000" in first
    assert results == [str(x * x) for x in range(1000)]


async def test_launched_and_left(front: LambdaFront, tmp_path: Path) -> None:
    # Four events: as many as this front has workers.
    PROGRAMS[2] = PROGRAMS[2].replace('job="overnight")', 'job="overnight", chunksize=25)', 1)
    launched, total = await run(2, tmp_path, ASYNCFABRIC_BACKEND=front.backend)
    assert launched == "100 calls left to Lambda"
    assert total == str(sum(x * x for x in range(100)))
