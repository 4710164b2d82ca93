"""The commands against moto."""

import io
import json
import signal
import zipfile
from pathlib import Path

import pytest

from tests.aws.deploy.conftest import Family

Capture = pytest.CaptureFixture[str]
ARCH = ("--arch", "x86_64")


def test_from_deploy_to_destroy(
    family: Family, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "driver.json"
    assert family.run("deploy", *ARCH, "--dry-run") == 0
    planned, noted = capsys.readouterr()
    assert "account 123456789012, region us-east-1" in noted
    assert "create function" in planned
    assert "steps to do" in planned

    assert family.run("deploy", *ARCH, "--driver-policy", str(policy)) == 0
    printed = capsys.readouterr().out
    assert planned.splitlines()[:-1] == printed.splitlines()[: len(planned.splitlines()) - 1]
    assert f"export ASYNCFABRIC_BACKEND='lambda://{family.name}?region=us-east-1" in printed
    assert f"export ASYNCFABRIC_STORAGE='s3://{family.bucket}/{family.name}?" in printed
    assert json.loads(policy.read_text())["Version"] == "2012-10-17"

    assert family.run("deploy", *ARCH) == 0
    assert "nothing to do" in capsys.readouterr().out

    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert family.run("destroy") == 1  # nobody is there to be asked
    assert "--yes" in capsys.readouterr().err
    assert family.run("destroy", "--dry-run", "--delete-bucket") == 0
    assert "delete bucket" in capsys.readouterr().out

    assert family.run("destroy", "--yes", "--delete-bucket") == 0
    assert "delete function" in capsys.readouterr().out
    assert family.run("destroy", "--yes", "--delete-bucket") == 0
    assert capsys.readouterr().out == "nothing to do\n"


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1), ("no", 1)])
def test_destroy_asks(
    family: Family, capsys: Capture, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    assert family.run("deploy", *ARCH) == 0

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    capsys.readouterr()
    assert family.run("destroy") == code
    assert "account 123456789012, us-east-1?" in capsys.readouterr().out


def test_destroy_is_stopped_at_its_question(
    family: Family, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert family.run("deploy", *ARCH) == 0

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def interrupted(_: str) -> str:
        signal.raise_signal(signal.SIGINT)
        return "y"

    monkeypatch.setattr("sys.stdin", Terminal())
    assert family.run("destroy") == 1  # Ctrl-D
    monkeypatch.setattr("builtins.input", interrupted)
    assert family.run("destroy") == 130  # Ctrl-C
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert "nothing was deleted" in capsys.readouterr().out
    assert family.run("doctor", *ARCH, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert {each["check"]: each["status"] for each in report["checks"]}["function"] != "failed"


def test_deploy_as_json(family: Family, capsys: Capture) -> None:
    assert family.run("deploy", *ARCH, "--json", "--dry-run") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["dry_run"] is True
    assert report["bucket"] == family.bucket
    assert report["functions"][0].startswith(f"{family.name}-w")
    assert report["environment"]["ASYNCFABRIC_BACKEND"].startswith("lambda://")


def test_doctor_as_json(family: Family, capsys: Capture) -> None:
    assert family.run("doctor", *ARCH, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    checks = {each["check"]: each["status"] for each in report["checks"]}
    assert checks["credentials"] == "ok"
    assert checks["function"] == "failed"


def test_doctor_in_words(family: Family, capsys: Capture) -> None:
    assert family.run("doctor", *ARCH) == 1
    printed = capsys.readouterr().out
    assert "ok       credentials: account 123456789012, region us-east-1" in printed
    assert "asyncfabric deploy --name" in printed


def test_template_and_package(family: Family, capsys: Capture, tmp_path: Path) -> None:
    """Written without an account."""
    path = tmp_path / "worker.zip"
    assert family.run("deploy", *ARCH, "--template", "-", "--package", str(path)) == 0
    printed = capsys.readouterr()
    assert "WorkerRole" in json.loads(printed.out)["Resources"]
    assert "SHA-256" in printed.err
    with zipfile.ZipFile(path) as file:
        assert "asyncfabric_runtime/_aws_lambda.py" in file.namelist()
