"""Whole programs: scripts without a main guard, stdin, Ctrl-C, kill -9, notebooks, forks."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.api.until import gone, until
from tests.sources import ROOT

PATHS = [str(ROOT), str(ROOT / "runtime"), str(ROOT / "storage")]

GUARDLESS = """
import asyncio
import asyncfabric as af

FACTOR = 3

class Point:
    def __init__(self, x): self.x = x

def scale(x): return Point(FACTOR * x)

async def main():
    async with af.Fabric("local://?processes=2") as fabric:
        points = await fabric.map(scale, range(5))
        assert all(isinstance(point, Point) for point in points)
        print([point.x for point in points])

asyncio.run(main())
"""

HANG = """
import asyncio, os, time
from pathlib import Path
import asyncfabric as af

def hang(x):
    Path("worker." + str(os.getpid())).touch()
    time.sleep(60)

async def main():
    fabric = af.Fabric("local://?processes=2")
    async with fabric:
        await fabric.map(hang, range(2), chunksize=1)

try:
    af.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "tmp").mkdir()
    return tmp_path


@contextmanager
def program(
    here: Path, *arguments: str, text: str | None = None
) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PATHS), "TMPDIR": str(here / "tmp")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdin is not None
        if text is not None:
            process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        try:
            yield process
        finally:
            process.kill()


def run(here: Path, *arguments: str, text: str | None = None) -> str:
    with program(here, *arguments, text=text) as process:
        out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert not err, err
    assert list((here / "tmp").iterdir()) == []
    return out


def script(here: Path, text: str) -> str:
    path = here / "program.py"
    path.write_text(textwrap.dedent(text))
    return str(path)


def test_a_script_without_a_main_guard(here: Path) -> None:
    assert run(here, script(here, GUARDLESS)) == "[0, 3, 6, 9, 12]\n"


def test_a_program_from_stdin(here: Path) -> None:
    assert run(here, "-", text=GUARDLESS) == "[0, 3, 6, 9, 12]\n"


def test_a_program_from_the_command_line(here: Path) -> None:
    assert run(here, "-c", GUARDLESS) == "[0, 3, 6, 9, 12]\n"


def test_a_module(here: Path) -> None:
    (here / "package").mkdir()
    (here / "package" / "__init__.py").touch()
    (here / "package" / "program.py").write_text(GUARDLESS)
    assert run(here, "-m", "package.program") == "[0, 3, 6, 9, 12]\n"


def test_code_run_by_exec_as_in_a_shell(here: Path) -> None:
    run_it = "exec(compile(open('inner.txt').read(), '<input>', 'exec'), {'__name__': '__main__'})"
    (here / "inner.txt").write_text(GUARDLESS)
    assert run(here, "-c", run_it) == "[0, 3, 6, 9, 12]\n"


def test_a_module_beside_the_script(here: Path) -> None:
    (here / "beside.py").write_text("def scale(x): return 3 * x\n")
    text = """
    import asyncio, beside, asyncfabric as af

    async def main():
        async with af.Fabric("local://?processes=1") as fabric:
            print(await fabric.map(beside.scale, range(3)))

    asyncio.run(main())
    """
    assert run(here, script(here, text)) == "[0, 3, 6]\n"


def test_functions_that_name_asyncfabric(here: Path) -> None:
    text = """
    import asyncio, asyncfabric as af

    def where(x): return af.current().index

    async def main():
        async with af.Fabric("local://?processes=1") as fabric:
            print(await fabric.map(where, "abc"))

    asyncio.run(main())
    """
    assert run(here, script(here, text)) == "[0, 1, 2]\n"


@pytest.mark.parametrize("ending", ["pass", "del fabric", "os._exit(0)", "sys.exit(0)"])
def test_a_notebook_that_closes_nothing(here: Path, ending: str) -> None:
    text = f"""
    import asyncio, os, sys, asyncfabric as af

    loop = asyncio.new_event_loop()
    fabric = af.Fabric("local://?processes=2")
    run = loop.run_until_complete
    async def cell(): return await fabric.map(lambda x: os.getpid(), range(50), chunksize=1)
    pids = set(run(cell()))
    ref = run(fabric.put([1]))
    print(*pids, flush=True)
    {ending}
    """
    with program(here, script(here, text)) as process:
        out, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (0, "")
    asyncio.run(until(lambda: all(gone(int(pid)) for pid in out.split())))
    if ending != "os._exit(0)":
        assert list((here / "tmp").iterdir()) == []


def test_a_program_that_fails_in_mid_map(here: Path) -> None:
    text = """
    import asyncio, itertools, asyncfabric as af

    async def main():
        fabric = af.Fabric("local://?processes=2")
        async for x in fabric.map(lambda x: x, itertools.count()):
            if x > 100:
                raise SystemExit(7)

    asyncio.run(main())
    """
    with program(here, script(here, text)) as process:
        _, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (7, "")
    assert list((here / "tmp").iterdir()) == []


def _workers(here: Path) -> list[int]:
    return [int(path.suffix[1:]) for path in here.glob("worker.*")]


def test_ctrl_c(here: Path) -> None:
    with program(here, script(here, HANG)) as process:
        asyncio.run(until(lambda: len(_workers(here)) == 2))
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=40)
    assert (out, err) == ("interrupted\n", "")
    assert all(gone(pid) for pid in _workers(here))
    assert list((here / "tmp").iterdir()) == []


def test_a_killed_driver_takes_its_workers_along(here: Path) -> None:
    with program(here, script(here, HANG)) as process:
        asyncio.run(until(lambda: len(_workers(here)) == 2))
        process.kill()
        process.communicate(timeout=40)
    asyncio.run(until(lambda: all(gone(pid) for pid in _workers(here))))


def test_a_fork(here: Path) -> None:
    text = """
    import asyncio, os, sys, asyncfabric as af

    async def use(fabric):
        return await fabric.submit(abs, -1)

    async def main():
        async with af.Fabric("local://?processes=1") as fabric:
            print(await use(fabric), flush=True)
            pid = os.fork()
            if pid == 0:
                asyncio._set_running_loop(None)
                try:
                    asyncio.new_event_loop().run_until_complete(use(fabric))
                except RuntimeError as error:
                    print(error, flush=True)
                try:
                    asyncio.new_event_loop().run_until_complete(fabric.aclose())
                except RuntimeError as error:
                    print(error, flush=True)
                del fabric
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(pid, 0)
            print(await use(fabric), os.path.isdir(fabric.store.root), flush=True)
            await fabric.put(3)
            print(os.path.isdir(fabric.store.root), flush=True)

    asyncio.run(main())
    """
    out = run(here, script(here, text)).splitlines()
    assert out[0] == "1"
    assert all("does not survive a fork; make a new Fabric" in line for line in out[1:-2])
    assert len(out) in (4, 5)
    assert out[-2] == "1 True"
    assert out[-1] == "True"
