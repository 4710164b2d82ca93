"""Both type checkers refuse what negative/ marks, and nothing else there."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sources import ROOT

FILES = sorted((Path(__file__).parent / "negative").glob("*.py"))
MARK = re.compile(r"# error(?:: (mypy|pyright))?$")


def _marked(checker: str) -> set[tuple[str, int]]:
    return {
        (path.name, number)
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (mark := MARK.search(line)) and mark[1] in (None, checker)
    }


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, check=False, cwd=ROOT, text=True
    )
    assert done.returncode == 1, done.stdout + done.stderr  # 1: there were errors, as there should
    return done.stdout


def mypy() -> list[tuple[str, int, str]]:
    output = _run("mypy", "--no-error-summary", *FILES)
    found = re.findall(r"([^/\n]*\.py):(\d+): error: (.*)", output)
    return [(path, int(line), message) for path, line, message in found]


def pyright() -> list[tuple[str, int, str]]:
    project = ("--project", FILES[0].parent, "--pythonpath", sys.executable)
    output = _run("pyright", "--outputjson", *project)
    return [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["message"])
        for each in json.loads(output)["generalDiagnostics"]
        if each["severity"] == "error"
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", [mypy, pyright])
def test_errors_are_where_they_are_marked(
    checker: Callable[[], list[tuple[str, int, str]]],
) -> None:
    marked = _marked(checker.__name__)
    assert len(marked) > 30
    found = checker()
    assert [each for each in found if each[:2] not in marked] == []
    assert marked - {each[:2] for each in found} == set()
