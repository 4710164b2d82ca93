"""`asyncfabric jobs` and `asyncfabric gc`, on a directory of jobs."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asyncfabric.cli import main
from asyncfabric.jobs._results import Failed
from asyncfabric_storage import LocalStore
from asyncfabric_storage._commits import INLINE_BYTES
from tests.jobs.programs import attempt, opened, run_all, run_call, subject

Capture = pytest.CaptureFixture[str]
FAILURE = Failed("user", "ValueError", "no", "Traceback ...", b"", 0)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    monkeypatch.setenv("ASYNCFABRIC_KEY", "6b" * 32)
    monkeypatch.setenv("ASYNCFABRIC_STORAGE", store.url)
    return store


@pytest.fixture
async def two(store: LocalStore) -> LocalStore:
    """A finished job of 3 inputs, one of them failed; and one with 2 done that nobody drives."""
    job = await opened(store, "all")
    await job.fail(1, 1, subject(1), FAILURE)
    await run_all(store, job, range(3), lambda _: b"result")
    job = await opened(store, "half")
    await run_call(store, attempt(job, 0, 0))
    await run_call(store, attempt(job, 5, 5), b"x" * (INLINE_BYTES + 1))
    return store


def printed(capsys: Capture) -> list[str]:
    return capsys.readouterr().out.splitlines()


def answered(capsys: Capture) -> Any:
    return json.loads(capsys.readouterr().out)


def test_list(two: LocalStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names need no key."""
    monkeypatch.delenv("ASYNCFABRIC_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/nowhere")
    assert main(["jobs", "list"]) == 0
    assert printed(capsys) == ["all", "half"]
    assert main(["jobs", "list", "--json"]) == 0
    assert answered(capsys) == ["all", "half"]


def test_list_long(two: LocalStore, capsys: Capture) -> None:
    assert main(["jobs", "list", "--long"]) == 0
    head, done, half = (line.split() for line in printed(capsys))
    assert head == ["NAME", "STATE", "DONE", "INPUTS", "FAILED", "BEGUN", "DRIVER"]
    assert done[:5] == ["all", "finished", "3", "3", "1"]
    assert half[:5] == ["half", "begun", "2", "?", "-"]
    assert half[6] == str(os.getpid())
    assert main(["jobs", "list", "--long", "--json"]) == 0
    assert [(each["name"], each["state"]) for each in answered(capsys)] == [
        ("all", "finished"),
        ("half", "begun"),
    ]


async def test_list_long_beside_one_that_cannot_be_read(two: LocalStore, capsys: Capture) -> None:
    await two.put("jobs/names/all", b"rubbish")
    assert await _main("jobs", "list", "--long") == 1
    said = capsys.readouterr()
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [
        ["all", "unreadable"],
        ["half", "begun"],
    ]
    assert said.err.startswith("warning: all: ")


def test_list_long_without_a_key(
    two: LocalStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no job that was discarded just now."""
    monkeypatch.setenv("ASYNCFABRIC_KEY", "sesame")
    assert main(["jobs", "list", "--long"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "ASYNCFABRIC_KEY holds no key" in said.err


async def _main(*arguments: str) -> int:
    """The command has a loop of its own."""
    import asyncio

    return await asyncio.to_thread(main, arguments)


def test_no_jobs(store: LocalStore, capsys: Capture) -> None:
    assert main(["jobs", "list"]) == main(["jobs", "list", "--long"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "there are no jobs\n" * 2)


def test_show(two: LocalStore, capsys: Capture) -> None:
    assert main(["jobs", "show", "all"]) == 0
    lines = dict(line.split(maxsplit=1) for line in printed(capsys))
    assert (lines["state"], lines["inputs"], lines["done"]) == ("finished", "3", "3 (100 %)")
    assert lines["failed"] == "1"
    assert main(["jobs", "show", "half", "--json"]) == 0
    half = answered(capsys)
    assert (half["state"], half["done"], half["total"], half["pid"]) == (
        "begun", 2, None, os.getpid(),
    )  # fmt: skip


async def test_show_a_job_that_nobody_drives(
    store: LocalStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitpid(gone, 0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: gone)
        await opened(store, "lost")
    assert await _main("jobs", "show", "lost") == 0
    lines = dict(line.split(maxsplit=1) for line in printed(capsys))
    assert lines["state"] == "left"
    assert f"process {gone} " in lines["drivers"]
    assert "run its program again" in lines["drivers"]


def test_discard(two: LocalStore, capsys: Capture) -> None:
    assert main(["jobs", "discard", "all", "--yes"]) == 0
    assert "job all is forgotten" in capsys.readouterr().out
    assert main(["jobs", "list"]) == 0
    assert printed(capsys) == ["half"]
    assert main(["jobs", "discard", "half", "--yes", "--json"]) == 0
    assert answered(capsys) == {"name": "half", "objects": 6}


def test_discard_asks(two: LocalStore, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["jobs", "discard", "all"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "3 results of 3" in said.err
    assert "give --yes" in said.err
    answers = iter(["", "y"])

    def answer(question: str) -> str:
        return next(answers)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    assert main(["jobs", "discard", "all"]) == 1
    assert main(["jobs", "list"]) == 0
    assert printed(capsys) == ["all", "half"]
    assert main(["jobs", "discard", "all"]) == 0
    assert main(["jobs", "list"]) == 0
    assert printed(capsys)[-1] == "half"


async def test_discard_of_what_cannot_be_read(two: LocalStore, capsys: Capture) -> None:
    """It is the way on from there."""
    await two.put("jobs/names/all", b"rubbish")
    assert await _main("jobs", "discard", "all") == 1
    assert "job all can't be read: the object names/all " in capsys.readouterr().err
    assert await _main("jobs", "discard", "all", "--yes") == 0


@pytest.mark.parametrize("action", ["show", "discard"])
def test_no_such_job(store: LocalStore, capsys: Capture, action: str) -> None:
    assert main(["jobs", action, "prices"]) == 1
    assert "there is no job 'prices'" in capsys.readouterr().err


def test_gc(two: LocalStore, capsys: Capture) -> None:
    assert main(["gc"]) == 0
    assert printed(capsys) == ["nothing to delete"]
    for name in ("000000000000", "000000000009"):
        (area,) = {path.parent.parent for path in Path(two.url[7:]).glob("jobs/*/data/*")}
        folder = area / "data" / name
        folder.mkdir(exist_ok=True)
        (folder / f"{0:032}-{0:032}").write_bytes(b"x" * 1500)
    assert main(["gc"]) == 0
    assert printed(capsys) == ["deleted 1 objects, 1.5 kB:", "       1  results that came second"]
    assert main(["gc", "--grace", "0", "--json"]) == 0
    assert (answered(capsys))["executions"] == 1


async def test_gc_beside_a_manifest_that_cannot_be_read(two: LocalStore, capsys: Capture) -> None:
    await two.put("jobs/names/all", b"rubbish")
    assert await _main("gc") == 0
    assert "asyncfabric jobs discard all" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["jobs", "list"], "ASYNCFABRIC_STORAGE"),
        (["gc"], "--storage"),
        (["jobs", "list", "--storage", "prices"], "is not a URL"),
        (["gc", "--storage", "memory://", "--grace", "-1"], "grace=-1"),
        (["gc", "--storage", "memory://", "--grace", "nan"], "grace=nan"),
        (["jobs", "show", "a/b", "--storage", "memory://"], "can't be called 'a/b'"),
    ],
)
def test_what_cannot_work_is_one_line(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.delenv("ASYNCFABRIC_STORAGE", raising=False)
    monkeypatch.setenv("ASYNCFABRIC_KEY", "6b" * 32)
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err


@pytest.mark.parametrize("arguments", [["jobs"], ["jobs", "fly"], ["jobs", "show"], ["gc", "all"]])
def test_wrong_usage(capsys: Capture, arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in "".join(capsys.readouterr())
