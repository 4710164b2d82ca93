"""Users' projects, from a script here to a worker elsewhere."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.shipping.projects import PATH, drive, drive_module, labour, write

PACK = """
if __name__ == "__main__":
    from tests.shipping.carry import pack
    pack({out!r}, {functions})
"""


def _script(tmp_path: Path, text: str, functions: str = "call") -> str:
    return text + PACK.format(out=str(tmp_path / "out"), functions=functions)


def _travel(tmp_path: Path, script: Path, argument: object = 3) -> tuple[set[str], object]:
    driven = drive(script)
    (result,) = labour(tmp_path / "out", argument)
    return set(driven["files"]), result


def test_a_script_and_the_module_beside_it(tmp_path: Path) -> None:
    """Only what is used travels, not everything in the directory of the script."""
    project = write(
        tmp_path / "project",
        {
            "helpers.py": "import tables\ndef double(x): return 2 * x + tables.ZERO",
            "tables.py": "ZERO = 0",
            "unrelated.py": "import nowhere",
            "huge.csv": "1,2\n",
            "app.py": _script(
                tmp_path, "import helpers\ndef call(x):\n    return helpers.double(x)\n"
            ),
        },
    )
    assert _travel(tmp_path, project / "app.py") == ({"helpers.py", "tables.py"}, 6)


def test_a_package_with_relative_and_late_imports_and_data(tmp_path: Path) -> None:
    project = write(
        tmp_path / "project",
        {
            "pkg/__init__.py": "from .api import call",
            "pkg/api.py": """
from __future__ import annotations
import importlib
from importlib import resources
from pathlib import Path
from . import shapes
from .sub import deep

def call(x):
    from .late import offset
    plugin = importlib.import_module(".plugins.one", __package__)
    other = importlib.import_module("beside")
    table = (Path(__file__).parent / "data" / "table.csv").read_text()
    same = resources.files("pkg").joinpath("data/table.csv").read_text() == table
    good = same and isinstance(shapes.make(), shapes.Shape) and deep.NAME == "pkg.sub.deep"
    return [x + offset + plugin.VALUE + other.VALUE, table, good, __name__]
""",
            "pkg/shapes.py": "class Shape: pass\ndef make():\n    return Shape()",
            "pkg/late.py": "offset = 10",
            "pkg/sub/__init__.py": "",
            "pkg/sub/deep.py": "from ..shapes import Shape\nNAME = __name__",
            "pkg/plugins/one.py": "VALUE = 100",
            "pkg/data/table.csv": "a,b",
            "beside.py": "VALUE = 1000",
            "app.py": _script(tmp_path, "from pkg import call\n"),
        },
    )
    files, result = _travel(tmp_path, project / "app.py", 1)
    assert result == [1111, "a,b", True, "pkg.api"]
    assert files == {
        "beside.py", "pkg/__init__.py", "pkg/api.py", "pkg/data/table.csv", "pkg/late.py",
        "pkg/plugins/one.py", "pkg/shapes.py", "pkg/sub/__init__.py", "pkg/sub/deep.py",
    }  # fmt: skip


def test_classes_and_closures_of_main(tmp_path: Path) -> None:
    """By value, with own modules they refer to only through classes, defaults and closures."""
    project = write(
        tmp_path / "project",
        {
            "bases.py": "class Base:\n    def value(self): return 5",
            "numbers_of_mine.py": "class Number(int): pass",
            "lazily.py": "VALUE = 7",
            "app.py": _script(
                tmp_path,
                """
from bases import Base
from numbers_of_mine import Number
class Derived(Base):
    def late(self):
        import lazily
        return lazily.VALUE
def make(number):
    def inner(x):
        item = Derived()
        return [x + number, isinstance(item, Base), item.value(), item.late()]
    return inner
call = make(Number(4))
""",
            ),
        },
    )
    files, result = _travel(tmp_path, project / "app.py", 1)
    assert files == {"bases.py", "numbers_of_mine.py", "lazily.py"}
    assert result == [5, True, 5, 7]


def test_an_editable_install_of_a_src_layout(tmp_path: Path) -> None:
    """As pip makes it: a .pth file in site-packages that names the checkout."""
    project = write(
        tmp_path / "project",
        {
            "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "mylib"
version = "1"
[tool.hatch.build]
dev-mode-dirs = ["src"]
[tool.asyncfabric]
exclude = ["mylib/tests", "src/mylib/*.big"]
""",
            "src/mylib/__init__.py": "from .core import call",
            "src/mylib/core.py": """
from importlib.metadata import version
VERSION = version("mylib")
def call(x):
    return [x, __name__, VERSION]
""",
            "src/mylib/tests/test_core.py": "import pytest_of_mine",
            "src/mylib/x.big": "x",
        },
    )
    (wheel,) = WheelBuilder(str(project)).build(directory=str(tmp_path), versions=["editable"])
    site = tmp_path / "lib" / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    record = {"url": project.as_uri(), "dir_info": {"editable": True}}
    (site / "mylib-1.dist-info" / "direct_url.json").write_text(json.dumps(record))
    script = write(
        tmp_path / "elsewhere",
        {
            "app.py": f"import site\nsite.addsitedir({str(site)!r})\n"
            + _script(tmp_path, "from mylib import call\n")
        },
    )
    files, result = _travel(tmp_path, script / "app.py", 2)
    assert files == {"mylib/__init__.py", "mylib/core.py", "mylib-1.dist-info/METADATA"}
    assert result == [2, "mylib.core", "1"]


def test_an_editable_install_with_a_finder(tmp_path: Path) -> None:
    """As setuptools makes it where directory and package have different names."""
    project = write(
        tmp_path / "project",
        {"lib/__init__.py": "", "lib/core.py": "def call(x):\n    return [x, __name__]"},
    )
    write(
        tmp_path / "lib" / "site-packages",
        {
            "__editable__.mylib-1.pth": "import __editable___mylib_finder as f; f.install()",
            "__editable___mylib_finder.py": f"""
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "mylib":
            return spec_from_file_location(name, {str(project / "lib" / "__init__.py")!r})
def install():
    sys.meta_path.append(Finder)
""",
        },
    )
    site = tmp_path / "lib" / "site-packages"
    script = write(
        tmp_path / "elsewhere",
        {
            "app.py": f"import site\nsite.addsitedir({str(site)!r})\n"
            + _script(tmp_path, "from mylib.core import call\n")
        },
    )
    files, result = _travel(tmp_path, script / "app.py", 2)
    assert files == {"mylib/__init__.py", "mylib/core.py"}
    assert result == [2, "mylib.core"]


def test_a_namespace_package_in_two_places(tmp_path: Path) -> None:
    write(tmp_path / "one", {"company/jobs/__init__.py": "", "company/jobs/run.py": "A = 1"})
    write(tmp_path / "two", {"company/tools.py": "B = 2"})
    script = write(
        tmp_path / "elsewhere",
        {
            "app.py": f"import sys\nsys.path += {[str(tmp_path / x) for x in ('one', 'two')]!r}\n"
            + _script(
                tmp_path,
                "from company import tools\nfrom company.jobs.run import A\n"
                "def call(x):\n    import company.jobs.run as run\n"
                "    return x + A + tools.B + run.A\n",
            )
        },
    )
    files, result = _travel(tmp_path, script / "app.py", 10)
    assert files == {"company/jobs/__init__.py", "company/jobs/run.py", "company/tools.py"}
    assert result == 14


def test_the_same_digest_anywhere(tmp_path: Path) -> None:
    """Whatever the hash seed, the directory, times, permissions and what tools left behind."""
    files = {
        "pkg/__init__.py": "from . import a, b",
        "pkg/a.py": "A = {'x', 'y', 'z'}",
        "pkg/b.py": "B = 1",
        "pkg/run.sh": "#!/bin/sh\n",
        "pkg/ümlaut.txt": "ü",
        "helpers.py": "import pkg\ndef call(x): return x",
        "app.py": _script(tmp_path, "from helpers import call\n"),
    }
    first = write(tmp_path / "one", files)
    second = write(tmp_path / "two" / "checkout", dict(reversed(files.items())))
    for path in second.rglob("*"):
        path.chmod(0o777)
        os.utime(path, (1, 1))
    write(second, {"pkg/__pycache__/a.cpython-311.pyc": "x", "pkg/.git/config": "x"})
    one = drive(first / "app.py", hash_seed=1)
    two = drive(second / "app.py", hash_seed=2, cwd=tmp_path)
    assert one["digest"] == two["digest"]
    assert one["files"] == two["files"]
    assert labour(tmp_path / "out", 1) == [1]


def test_a_main_module_of_a_package(tmp_path: Path) -> None:
    """Run by `python -m`, with relative imports that run in the worker."""
    project = write(
        tmp_path / "project",
        {
            "pkg/__init__.py": "",
            "pkg/app.py": _script(
                tmp_path,
                "from . import one\ndef call(x):\n"
                "    from .two import VALUE\n    return x + one.VALUE + VALUE\n",
            ),
            "pkg/one.py": "VALUE = 1",
            "pkg/two.py": "VALUE = 2",
        },
    )
    driven = drive_module(project, "pkg.app")
    assert set(driven["files"]) == {"pkg/__init__.py", "pkg/app.py", "pkg/one.py", "pkg/two.py"}
    assert labour(tmp_path / "out", 1) == [4]


@pytest.mark.parametrize("argument", ["-c", "-"])
def test_without_a_script(tmp_path: Path, argument: str) -> None:
    """As in a notebook: functions of `__main__`, modules in the current directory."""
    project = write(tmp_path / "project", {"helpers.py": "def double(x): return 2 * x"})
    program = _script(tmp_path, "import helpers\ncall = lambda x: helpers.double(x)\n")
    done = subprocess.run(
        [sys.executable, argument, *([program] if argument == "-c" else [])],
        input=program,
        cwd=project,
        env={"PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert labour(tmp_path / "out", 4) == [8]
