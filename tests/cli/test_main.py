"""The command as a user types it: what it prints, and its exit codes."""

import importlib.metadata
import subprocess
import sys
from typing import Any

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.cli import _deploy, main

Capture = pytest.CaptureFixture[str]


def test_the_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"asyncfabric {importlib.metadata.version('asyncfabric')}\n"


def test_no_command(capsys: Capture) -> None:
    assert main([]) == 2
    printed = capsys.readouterr().out
    assert all(
        command in printed for command in ("deploy", "doctor", "destroy", "dev", "jobs", "gc")
    )


@pytest.mark.parametrize("command", ["deploy", "doctor", "destroy"])
def test_help(capsys: Capture, command: str) -> None:
    assert main([command, "--help"]) == 0
    assert "--region" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["fly"], ["deploy", "--nonsense"], ["deploy", "--memory", "lots"]]
)
def test_wrong_usage(capsys: Capture, arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["deploy", "--memory", "1"], "128 to 10240"),
        (["deploy", "--timeout", "901"], "1 to 900"),
        (["deploy", "--ephemeral-storage", "1"], "512 to 10240"),
        (["deploy", "--arch", "mips"], "x86_64 or arm64"),
        (["deploy", "--name", "a b"], "letters, digits"),
        (["deploy", "--tags", "novalue"], "KEY=VALUE"),
        (["deploy", "--tags", "aws:x=y"], "KEY=VALUE"),
        (["deploy", "--bucket", "s3://b"], "--bucket can't be"),
        (["deploy", "--bucket", "My_Bucket"], "--bucket can't be"),
        (["deploy", "--role-arn", "worker"], "arn:aws:iam::"),
        (["deploy", "--permissions-boundary", "limits"], "arn:aws:iam::"),
        (["deploy", "--layer", "numpy"], "arn:aws:lambda"),
        (["deploy", "--log-days", "2"], "give one of"),
        (["deploy", "--expire-days", "0"], "1 to 3650"),
        (["deploy", "--reserved-concurrency", "-1"], "negative"),
        (["deploy", "--image", "x", "--requirements", "numpy"], "--image without"),
        (["deploy", "--template", "-", "--requirements", "numpy"], "--layer"),
        (["deploy", "--template", "-", "--dry-run"], "without --dry-run"),
        (["deploy", "--package", "x.zip", "--driver-policy", "-"], "without --driver-policy"),
        (["deploy", "--template", "-", "--worker-policy", "-"], "without --worker-policy"),
        (["destroy", "--unused", "--delete-bucket"], "--unused"),
        (["doctor", "--memory", "1"], "128 to 10240"),
    ],
)
def test_what_cannot_work_is_one_line(capsys: Capture, arguments: list[str], words: str) -> None:
    """Said before anything is asked of AWS."""
    assert main(arguments) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("asyncfabric: ")
    assert words in printed.err
    assert printed.err.count("\n") == 1


def test_debug_shows_where(capsys: Capture) -> None:
    assert main(["deploy", "--memory", "1", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (ModuleNotFoundError("No module", name="obstore"), "pip install 'asyncfabric[aws]'", 1),
        (ModuleNotFoundError("No module", name="aiohttp.web"), "asyncfabric[testing]", 1),
        (ModuleNotFoundError("No module named 'x'", name="x"), "--debug", 1),
        (ConfigurationError("that is wrong; do this"), "that is wrong; do this", 1),
        (PermissionError(13, "not yours"), "not yours", 1),
        (KeyboardInterrupt(), "stopped", 130),
    ],
)
def test_errors(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    words: str,
    code: int,
) -> None:
    def run(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(_deploy, "_settings", run)
    assert main(["deploy"]) == code
    assert words in capsys.readouterr().err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(_deploy, "_settings", run)
    with pytest.raises(ZeroDivisionError):
        main(["deploy"])


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asyncfabric", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("asyncfabric ")


def test_the_command_loads_no_sdk() -> None:
    """`asyncfabric --help` is there at once."""
    program = (
        "import sys; from asyncfabric.cli import main; main(['--version']); "
        "print({'aiobotocore', 'botocore', 'obstore', 'aiohttp'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"
