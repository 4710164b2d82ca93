"""`--serve`: the user's own modules go along, and the worker runs nothing else."""

import base64
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.aws.deploy import _package
from asyncfabric.aws.deploy._function import environment
from asyncfabric.aws.deploy._package import build_package
from asyncfabric.aws.deploy._served import served_files
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric.aws.deploy._target import Target
from asyncfabric.aws.deploy._template import template
from asyncfabric.shipping import Shipped, ship
from asyncfabric.shipping._named import named
from asyncfabric_runtime import PYTHON, Envelope, Outcome, Plan
from asyncfabric_runtime._values import Encoded
from asyncfabric_runtime._wire import unpack
from asyncfabric_storage import digest

HERE = Target(PYTHON, Settings().arch)

_PROGRAM = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from asyncfabric_runtime._aws_lambda import handler
class Context:
    def get_remaining_time_in_millis(self): return 60_000
for line in sys.stdin:
    print(json.dumps(handler(json.loads(line), Context())))
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A package of the user's own, imported here, that uses a module of theirs."""
    project = tmp_path / "project"
    (project / "shop").mkdir(parents=True)
    (project / "shop" / "__init__.py").write_text("")
    (project / "shop" / ".env").write_text("PASSWORD=1")
    (project / "shop" / "tasks.py").write_text(
        "import shop_prices\n"
        "from os import getcwd\n"
        "def price(x):\n    return shop_prices.PRICE * x\n"
    )
    (project / "shop_prices.py").write_text("PRICE = 7\n")
    (project / "other.py").write_text("def run(x):\n    return x\n")
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    import shop.tasks  # type: ignore[import-not-found] # pyright: ignore[reportMissingImports]

    yield shop.tasks  # pyright: ignore[reportUnknownMemberType]
    for name in ("shop", "shop.tasks", "shop_prices", "other"):
        sys.modules.pop(name, None)


def _compile_none(*_: Any) -> dict[str, Path]:
    return {}


def _closed_over(added: int) -> Callable[[int], int]:
    def add(x: int) -> int:
        return x + added

    return add


def _named(data: bytes) -> Shipped:
    return Shipped(digest(data), data, is_async=False)


def _event(shipped: Shipped, value: int, *, data_inputs: bool) -> str:
    plan = Plan(
        job="j",
        function=shipped.digest,
        code={shipped.digest: shipped.data},
        data_inputs=data_inputs,
    )
    frame = Envelope(plan, 1, range(1), 1, Encoded(None, [value]), [], []).to_frame()
    return base64.b64encode(b"".join(map(bytes, frame))).decode()


def _served(folder: Path, *events: str) -> list[Any]:
    """Have a worker from an unpacked zip serve events, one after the other."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", _PROGRAM, str(folder)],
        input="".join(json.dumps(event) + "\n" for event in events),
        env={**os.environ, "ASYNCFABRIC_SERVES": "shop"},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [Outcome.from_segments(unpack(base64.b64decode(each))[1]) for each in answers]


def test_a_worker_has_what_it_serves_and_runs_nothing_else(
    shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_package, "compile_all", _compile_none)  # that takes long
    archive = build_package(tmp_path / "worker.zip", HERE, ["shop"])
    with zipfile.ZipFile(archive.path) as file:
        names = set(file.namelist())
        file.extractall(tmp_path / "unpacked")
    assert {"shop/__init__.py", "shop/tasks.py", "shop_prices.py"} <= names
    assert not {"shop/.env", "other.py"} & names

    import other  # type: ignore[import-not-found] # pyright: ignore[reportMissingImports]

    good = named(shop.price)
    foreign = _named(b"AFN1shop.tasks:getcwd")
    run: Any = vars(other)["run"]
    elsewhere = named(run)
    system = _named(b"AFN1os:system")
    shipped = ship(_closed_over(1))
    answers = _served(
        tmp_path / "unpacked",
        _event(good, 6, data_inputs=True),
        _event(foreign, 6, data_inputs=True),
        _event(elsewhere, 6, data_inputs=True),
        _event(system, 6, data_inputs=True),
        _event(shipped, 6, data_inputs=True),
        _event(shipped, 6, data_inputs=False),
    )
    assert answers[0].values.bodies == [42]
    said = [each.failures[0].message for each in answers[1:]]
    assert "defines no function getcwd" in said[0]
    assert "not other:run" in said[1]
    assert "not os:system" in said[2]
    assert "not a function that came by value" in said[3]
    assert "takes no code" in said[4]


@pytest.mark.parametrize("name", ["", "a b", "a:b:c", "a-b", "../x", "os.path:"])
def test_what_is_no_module_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="--serve"):
        Settings(serve=(name,))


def test_a_module_that_is_not_here_is_named(tmp_path: Path) -> None:
    for name in ("no_such_module_of_mine", "os"):
        with pytest.raises(ConfigurationError, match=f"--serve {name}: there is no such module"):
            build_package(tmp_path / "worker.zip", HERE, [name])


def test_installed_modules_are_left_to_the_requirements() -> None:
    assert served_files(["numpy"], HERE, Path("never made")) == {}


def test_the_function_is_told_what_it_serves() -> None:
    variables = {"ASYNCFABRIC_SERVES": "shop other:run"}
    assert environment(None, ["shop", "other:run"]) == variables
    assert environment(None) == {}
    written = json.loads(template(Settings(serve=("shop", "other:run"))))
    functions = [
        each["Properties"]
        for each in written["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
    ]
    assert [each["Environment"]["Variables"] for each in functions] == [variables]
