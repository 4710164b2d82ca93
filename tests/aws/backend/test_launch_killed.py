"""A launcher that is killed midway: what it left is done, and another launch leaves the rest."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.jobs import Unfinished
from asyncfabric.testing import Fault, Limits
from tests.api.work import noted
from tests.aws.backend.fronts import cloud
from tests.aws.backend.leaving import attached, marking
from tests.sources import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]

COUNT, TAKEN = 60, 5
PROGRAM = """
import asyncio, sys
import asyncfabric as af
from tests.aws.backend.leaving import marking

async def main():
    async with af.Fabric(sys.argv[1], storage=sys.argv[2]) as fabric:
        work = marking(sys.argv[3])
        await af.jobs.launch(fabric, work, range(60), job="job", chunksize=2, version="1")

asyncio.run(main())
"""


async def test_a_launcher_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)
    storage, marks = (tmp_path / "store").as_uri(), tmp_path / "marks"
    marks.mkdir()
    limits = Limits(concurrency=3)
    async with cloud(options={"storage": storage}, limits=limits) as (front, fabric):

        def hold(number: int) -> Fault | None:
            return Fault(delay=600) if number > TAKEN else None

        front.inject(hold)
        packages = os.pathsep.join(str(ROOT / each) for each in (".", "runtime", "storage"))
        launcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, front.backend, storage, str(marks)),
            env={**os.environ, "PYTHONPATH": packages},
        )
        await front.until(lambda counters: counters.executions == TAKEN and not counters.running)
        launcher.kill()
        await launcher.wait()
        front.inject(None)
        stream = af.jobs.attach(fabric, "job", ordered=False)
        found = [await anext(stream) for _ in range(2 * TAKEN)]
        with pytest.raises(Unfinished, match=f"process {launcher.pid} on this machine"):
            await anext(stream)
        assert sorted(found) == [10 * int(name) for name in sorted(noted(marks), key=int)]
        work = marking(str(marks))
        again = await af.jobs.launch(
            fabric, work, range(COUNT), job="job", chunksize=10, version="1"
        )
        assert again == ("job", COUNT, 2 * TAKEN, COUNT - 2 * TAKEN)
        assert await attached(fabric) == [10 * x for x in range(COUNT)]
    assert noted(marks) == {str(x): 1 for x in range(COUNT)}
