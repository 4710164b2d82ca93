# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""How a program's own code gets to Lambda: programs of users, run as they run them."""

import asyncio
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.api.work import square
from tests.aws.backend.fronts import cloud, objects
from tests.shipping.projects import PATH, write


async def program(front: LambdaFront, script: Path, *arguments: str, path: str = "") -> str:
    """Run a script whose first argument is the backend; return what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error", str(script), front.backend, *arguments),
        cwd=script.parent,
        env={
            **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
            "PYTHONPATH": os.pathsep.join(filter(None, [PATH, path])),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": os.environ["TMPDIR"],
            "ASYNCFABRIC_KEY": "5a" * 32,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode()


MAIN = """
import asyncio, sys
import asyncfabric as af
{imports}

async def main():
    async with af.Fabric(sys.argv[1], storage=sys.argv[2], max_concurrency=2) as fabric:
{body}

af.run(main())
"""


def script(body: str, imports: str = "") -> str:
    """Return a program with a Fabric."""
    indented = "\n".join(f"        {line}" for line in body.strip().splitlines())
    return MAIN.format(imports=imports.strip(), body=indented)


async def test_a_script_with_a_module_and_a_package_with_data(tmp_path: Path) -> None:
    project = write(
        tmp_path / "project",
        {
            "helpers.py": "FACTOR = 3\nclass Odd(Exception): pass\n",
            "tables/__init__.py": "from .reading import read\n",
            "tables/reading.py": (
                "from pathlib import Path\n"
                "def read():\n"
                "    return int(Path(__file__).with_name('data.txt').read_text())\n"
            ),
            "tables/data.txt": "40",
            "app.py": script(
                """
print(await fabric.map(work, range(4), chunksize=1))
try:
    await fabric.submit(work, -1)
except helpers.Odd as error:
    print(type(error).__module__, error)
print(await fabric.submit(tables.read))
""",
                """
import helpers, tables

def work(x):
    if x < 0:
        raise helpers.Odd("below zero")
    return tables.read() + helpers.FACTOR * x
""",
            ),
        },
    )
    store = tmp_path / "store"
    async with LambdaFront() as front:
        output = await program(front, project / "app.py", f"file://{store}")
        assert output == "[40, 43, 46, 49]\nhelpers below zero\n40\n"
        # Another run: nothing is stored again, and the warm workers have it.
        kept = {key: (store / key).stat().st_mtime_ns for key in objects(store)}
        assert len(kept) == 1
        environments = front.counters.environments
        assert await program(front, project / "app.py", f"file://{store}") == output
        assert {key: (store / key).stat().st_mtime_ns for key in objects(store)} == kept
        assert front.counters.environments == environments
        # An edit takes effect in workers that have the old code.
        write(project, {"helpers.py": "FACTOR = 5\nclass Odd(Exception): pass\n"})
        edited = await program(front, project / "app.py", f"file://{store}")
        assert edited.startswith("[40, 45, 50, 55]\n")
        assert front.counters.environments == environments


async def test_an_archive_that_was_deleted_is_stored_again(tmp_path: Path) -> None:
    project = write(
        tmp_path / "project",
        {
            "helpers.py": "def double(x): return 2 * x\n",
            "app.py": script(
                """
print(await fabric.submit(helpers.double, 4))
sys.stdin.readline()
print(await fabric.map(helpers.double, range(3), chunksize=1))
""",
                "import helpers",
            ),
        },
    )
    store = tmp_path / "store"
    async with LambdaFront() as front:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(project / "app.py"), front.backend, f"file://{store}"),
            env={**os.environ, "PYTHONPATH": PATH},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"8\n"
        (key,) = objects(store)
        (store / key).unlink()
        await front.until(lambda counters: counters.running == 0)
        await front.recycle()
        rest, _ = await process.communicate(b"\n")
        assert rest == b"[0, 2, 4]\n"
        assert objects(store) == [key]


async def test_a_package_that_the_worker_lacks(tmp_path: Path) -> None:
    """One error for all of them, before any call has run."""
    site = write(
        tmp_path / "site-packages",
        {
            "lacking_a.py": "def f(x): return x\n",
            "lacking_a-1.5.dist-info/METADATA": "Name: lacking-a\nVersion: 1.5\n",
            "lacking_a-1.5.dist-info/RECORD": "lacking_a.py,,\n",
            "lacking_b/__init__.py": "def g(x): return x\n",
            "lacking_b-2.0.dist-info/METADATA": "Name: lacking-b\nVersion: 2.0\n",
            "lacking_b-2.0.dist-info/RECORD": "lacking_b/__init__.py,,\n",
        },
    )
    project = write(
        tmp_path / "project",
        {
            "app.py": script(
                """
for _ in range(2):
    try:
        await fabric.map(work, range(50), chunksize=1)
    except af.DeploymentError as error:
        print(error)
""",
                "import lacking_a, lacking_b\n\n"
                "def work(x):\n    print('ran')\n    return lacking_a.f(lacking_b.g(x))\n",
            )
        },
    )
    async with LambdaFront() as front:
        output = await program(
            front, project / "app.py", f"file://{tmp_path / 'store'}", path=str(site)
        )
        assert front.counters.executions <= 2  # the question, once for each map
    first, second = output.strip().splitlines()
    assert first == second
    for words in ("lacking-a==1.5", "lacking-b==2.0", "asyncfabric deploy", "work"):
        assert words in first


async def test_functions_of_modules_that_are_tests() -> None:
    """Whatever is importable here and not there: this folder, too."""
    async with cloud(concurrency=2) as (_, fabric):
        assert await fabric.map(square, range(5)) == [0, 1, 4, 9, 16]


async def test_functions_from_the_prompt_and_notebooks() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("FACTOR = 6\ndef times(x):\n    return FACTOR * x\n", namespace)
    async with cloud(concurrency=1) as (_, fabric):
        assert await fabric.submit(namespace["times"], 7) == 42
        namespace["FACTOR"] = 7
        assert await fabric.submit(namespace["times"], 7) == 49


async def test_a_module_that_is_imported_only_there() -> None:
    def late() -> None:
        importlib.import_module("no_such_module_anywhere")

    async with cloud(concurrency=1) as (front, fabric):
        with pytest.raises((af.DeploymentError, ModuleNotFoundError), match="no_such_module"):
            await fabric.submit(late)
        assert front.counters.executions <= 2
