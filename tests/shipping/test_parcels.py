"""Surveys and archives are made once, and again when files have changed."""

import logging
import threading
from pathlib import Path

import pytest

from asyncfabric import DeploymentError
from asyncfabric.shipping import _archive, _parcels
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._parcels import FRESH_SECONDS, Parcels
from tests.shipping.projects import importing, write

TARGET = Target("3.11", "x86_64")
ONE = {"one": importing("import one")}
TWO = {"two": importing("import two")}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(project: Path) -> Clock:
    write(project, {"one.py": "", "two.py": ""})
    return Clock()


@pytest.fixture
def parcels(clock: Clock) -> Parcels:
    return Parcels(TARGET, clock=clock)


def _digest(parcels: Parcels, functions: dict[str, object]) -> str:
    parcel = parcels.prepare(functions)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # callables
    assert parcel.archive is not None
    return parcel.archive.digest


def test_made_once(parcels: Parcels, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parcels.ready(["one"]) is None
    made = parcels.prepare(ONE)
    monkeypatch.setattr(_parcels, "survey", None)
    monkeypatch.setattr(_parcels, "build_archive", None)
    again = parcels.ready(["one"])
    assert again is not None
    assert again.archive is made.archive
    clock.now += 2 * FRESH_SECONDS
    assert parcels.ready(["one"]) is None
    assert parcels.prepare(ONE).archive is made.archive
    assert parcels.ready(["one"]) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"one.py": "X = 1"},
        {"one.py": "import three", "three.py": ""},
        {"pyproject.toml": "[tool.asyncfabric]\ninclude = ['two.py']"},
    ],
)
def test_made_again(
    project: Path, parcels: Parcels, clock: Clock, change: dict[str, str | bytes]
) -> None:
    before = parcels.prepare(ONE).archive
    write(project, change)
    clock.now += 2 * FRESH_SECONDS
    after = parcels.prepare(ONE).archive
    assert before is not None
    assert after is not None
    assert before.digest != after.digest
    assert set(after.files) >= {"one.py"} | {name for name in change if name.endswith(".py")}


def test_a_file_that_is_touched_changes_nothing(
    project: Path, parcels: Parcels, clock: Clock
) -> None:
    before = _digest(parcels, {**ONE})
    (project / "one.py").write_text("")
    clock.now += 2 * FRESH_SECONDS
    assert _digest(parcels, {**ONE}) == before


def test_functions_share_an_archive(parcels: Parcels) -> None:
    """So that warm workers needn't change between them."""
    first = parcels.prepare(ONE).archive
    second = parcels.prepare(TWO).archive
    assert first is not None
    assert second is not None
    assert first.files == ("one.py",)
    assert second.files == ("one.py", "two.py")
    assert parcels.ready(["one"]) is None
    assert parcels.prepare(ONE).archive is second
    ready = parcels.ready(["one"])
    assert ready is not None
    assert ready.archive is second
    assert parcels.prepare(ONE).survey.files[0].name == "one.py"


def test_trouble_with_another_function_is_its_own(project: Path, parcels: Parcels) -> None:
    write(project, {"two.so": "no library"})
    (project / "two.py").unlink()
    first = _digest(parcels, {**ONE})
    with pytest.raises(DeploymentError, match=r"two\.so"):
        parcels.prepare(TWO)
    assert _digest(parcels, {**ONE}) == first


def test_what_other_functions_needed_may_go(project: Path, parcels: Parcels, clock: Clock) -> None:
    parcels.prepare(TWO)
    parcels.prepare(ONE)
    (project / "two.py").unlink()
    clock.now += 2 * FRESH_SECONDS
    archive = parcels.prepare(ONE).archive
    assert archive is not None
    assert archive.files == ("one.py",)


def test_functions_that_need_nothing(parcels: Parcels) -> None:
    assert parcels.prepare({"len": len}).archive is None
    ready = parcels.ready(["len"])
    assert ready is not None
    assert ready.archive is None


def test_secrets_that_stay_are_said_once(
    project: Path, parcels: Parcels, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/.env": "x"})
    with caplog.at_level(logging.WARNING):
        parcels.prepare({"pkg": importing("import pkg")})
        write(project, {"pkg/more.py": ""})
        clock.now += 2 * FRESH_SECONDS
        parcels.prepare({"pkg": importing("import pkg")})
    (record,) = caplog.records
    assert "pkg/.env" in record.getMessage()


def test_many_at_a_time(parcels: Parcels, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    build = _archive.build_archive

    def counted(*args: object) -> object:
        built.append(args)
        return build(*args)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(_parcels, "build_archive", counted)
    threads = [threading.Thread(target=parcels.prepare, args=(ONE,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
