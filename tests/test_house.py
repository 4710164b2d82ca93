"""The rules of the house: layout, dependencies, public names, packaging."""

import importlib
import inspect
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.sources import PACKAGES, ROOT, Import, cycle, imports, modules

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAX_LINES = 400

# What scheduling/ may import: it decides, and does no IO, waits for nothing, asks no clock.
PURE = {
    "__future__", "abc", "array", "bisect", "collections", "copy", "dataclasses", "enum",
    "fractions", "functools", "heapq", "itertools", "math", "operator", "statistics",
    "types", "typing",
}  # fmt: skip
PUBLIC_ROOMS = {
    "aws", "backends", "bsp", "cli", "jobs", "params", "reporting", "scheduling", "shipping",
    "testing",
}  # fmt: skip
OURS = set(PACKAGES)
ALLOWED = {
    "asyncfabric": {"asyncfabric", "asyncfabric_runtime", "asyncfabric_storage"},
    "asyncfabric_runtime": {"asyncfabric_runtime", "asyncfabric_storage"},
    "asyncfabric_storage": {"asyncfabric_storage"},
}


def _distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", each)[0].replace("-", "_").lower() for each in requirements}


BASE = _distributions(PROJECT["project"]["dependencies"])
EXTRAS = {
    name
    for extra, requirements in PROJECT["project"]["optional-dependencies"].items()
    if extra != "all"
    for name in _distributions(requirements)
}
# Asked of the user's own environment, where a user's call asks for it: `current().rng()`.
USERS_OWN = {"numpy"}


def _top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _all_imports(package: str) -> list[Import]:
    return [each for module in modules(package) for each in imports(module)]


def _public(package: str) -> list[str]:
    return [m.name for m in modules(package) if m.is_package and "._" not in m.name]


PUBLIC_PACKAGES = [name for package in PACKAGES for name in _public(package)]


# layout


def test_folders_that_are_no_packages() -> None:
    for folder in ("runtime", "storage", "bench"):
        assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert (PACKAGES[package] / "py.typed").is_file()
    assert (PACKAGES[package] / "__init__.py").is_file()


def test_every_folder_of_tests_is_a_package() -> None:
    """So that test modules have the names by which worker processes import them."""
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    folders -= {ROOT / "tests" / "typing" / "negative"}  # files for the type checkers only
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_modules_of_tests_are_named_from_the_root() -> None:
    assert __name__ == "tests.test_house"


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_are_private(package: str) -> None:
    """Public names are those of packages; a module's own name starts with an underscore."""
    for module in modules(package):
        name = module.name.rpartition(".")[2]
        if module.is_package:
            room = module.name.split(".")[1:2]
            assert not room or room[0].startswith("_") or room[0] in PUBLIC_ROOMS, module.place
        else:
            assert name.startswith("_"), f"{module.place}: call it _{name}.py"


def test_files_fit_in_the_head() -> None:
    folders = ("asyncfabric", "runtime", "storage", "bench", "tests", "examples")
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in sizes.items() if lines > MAX_LINES} == {}


def test_everything_is_type_checked() -> None:
    folders = {path.parts[len(ROOT.parts)] for path in ROOT.glob("[a-z]*/**/*.py")}
    assert folders <= set(PROJECT["tool"]["mypy"]["files"])  # mypy refuses a folder without files
    assert folders <= set(PROJECT["tool"]["pyright"]["include"])


# dependencies


@pytest.mark.parametrize("package", PACKAGES)
def test_dependencies_among_the_packages(package: str) -> None:
    forbidden = OURS - ALLOWED[package]
    assert [each for each in _all_imports(package) if _top(each.name) in forbidden] == []


def test_scheduling_does_no_io() -> None:
    room = [m for m in modules("asyncfabric") if m.name.startswith("asyncfabric.scheduling")]
    assert room
    assert [
        each
        for module in room
        for each in imports(module)
        if _top(each.name) not in PURE and not each.name.startswith("asyncfabric.scheduling.")
    ] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_import_cycles(package: str) -> None:
    assert cycle(package) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_only_declared_dependencies_are_imported(package: str) -> None:
    """Base dependencies anywhere, extras only where they are needed."""
    for each in _all_imports(package):
        name = _top(each.name)
        if name in sys.stdlib_module_names or name in OURS or each.when == "typing":
            continue
        assert name in BASE | EXTRAS | USERS_OWN, f"{each.where}: {name} is not declared"
        if name not in BASE:
            assert each.when == "lazy", f"{each.where}: import {name} where it is needed"


def _loaded_by(statement: str) -> set[str]:
    """Modules that a statement loads into a fresh interpreter."""
    program = f"""
import json, sys
sys.path[:0] = {[str(folder.parent) for folder in PACKAGES.values()]!r}
before = set(sys.modules)
{statement}
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("statement", "late"),
    [
        ("import asyncfabric_storage", {"asyncio", "anyio", "cloudpickle", "obstore", "numpy"}),
        ("import asyncfabric_runtime", {"asyncio", "anyio", "cloudpickle", "obstore", "numpy"}),
        (
            "import asyncfabric",
            {"aiobotocore", "botocore", "numpy", "obstore", "redis", "rich", "uvloop"}
            | {"asyncfabric.jobs", "asyncfabric.testing", "json", "zipfile"},
        ),
    ],
)
def test_what_an_import_loads(statement: str, late: set[str]) -> None:
    """Counted, not timed: what isn't loaded costs no time."""
    assert _loaded_by(statement) & late == set()


# public names


def _load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", PUBLIC_PACKAGES)
def test_all_is_the_list_of_public_names(name: str) -> None:
    package = _load(name)
    public = {
        attribute
        for attribute, value in vars(package).items()
        if not attribute.startswith("_") and not inspect.ismodule(value)
    }
    rooms = {
        attribute for attribute in package.__all__ if inspect.ismodule(getattr(package, attribute))
    }
    assert public == set(package.__all__) - rooms
    assert len(package.__all__) == len(set(package.__all__))


@pytest.mark.parametrize("name", PUBLIC_PACKAGES)
def test_public_names_are_documented(name: str) -> None:
    package = _load(name)
    assert package.__doc__
    silent = [
        f"{name}.{attribute}"
        for attribute, value in ((each, getattr(package, each)) for each in package.__all__)
        if (inspect.isclass(value) or inspect.isroutine(value)) and not _documented(value)
    ]
    silent += [
        f"{name}.{attribute}.{method}"
        for attribute, value in ((each, getattr(package, each)) for each in package.__all__)
        if inspect.isclass(value) and value.__module__.startswith("asyncfabric")
        for method, body in vars(value).items()
        if not method.startswith("_") and (inspect.isroutine(body) or isinstance(body, property))
        if not inspect.getdoc(getattr(value, method))
    ]
    assert silent == []


def _documented(value: Any) -> bool:
    # A dataclass without a docstring of its own is given its signature.
    text = value.__doc__
    return bool(text) and not text.startswith(f"{value.__name__}(")


# packaging


def test_the_wheel_holds_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {_top(name.replace("/", ".")) for name in names if ".dist-info/" not in name}
    assert tops == OURS
    for package, folder in PACKAGES.items():
        expected = {
            str(path.relative_to(folder.parent))
            for path in folder.rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        assert expected == {name for name in names if name.startswith(f"{package}/")}
        assert f"{package}/py.typed" in names


def test_the_lock_names_public_addresses_only() -> None:
    lock = (ROOT / "uv.lock").read_text(encoding="utf-8")
    hosts = set(re.findall(r"[a-z+]+://[^/\"]*", lock))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert re.findall(r"\{ (?:path|directory|editable) = \"(?!\.\")[^\"]*\"", lock) == []


def test_the_commands_are_those_of_ci() -> None:
    tests, justfile, ci, readme = (
        (ROOT / path).read_text(encoding="utf-8")
        for path in ("tests/run", "justfile", ".ci/run", "README.md")
    )
    steps = re.findall(r'echo "== (.*)"', tests + ci)
    assert len(steps) >= 7
    for step in steps:
        assert step in (tests + ci).replace(f'echo "== {step}"', "")
        assert step in justfile
    for text in (ci, readme, justfile):
        assert "bash tests/run" in text
    assert "bash examples/run" in readme
