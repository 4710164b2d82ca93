"""The worker's zip: the same bytes again and again, and enough to run."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from asyncfabric import DeploymentError
from asyncfabric.aws.deploy import _package
from asyncfabric.aws.deploy._archive import Archive, write_archive
from asyncfabric.aws.deploy._package import build_package, check_size, distributions
from asyncfabric.aws.deploy._target import Target
from asyncfabric_runtime import PYTHON

X86 = Target(PYTHON, "x86_64")


def _names(archive: Archive) -> list[str]:
    with zipfile.ZipFile(archive.path) as file:
        return file.namelist()


def test_two_builds_are_the_same_bytes(
    tmp_path: Path, package: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the files' times and permissions are, and whatever else this process has done."""
    sources = {name: Path(_package._folder(name)) for name in _package.OURS}
    copies = tmp_path / "copies"
    for name, folder in sources.items():
        shutil.copytree(folder, copies / name, copy_function=shutil.copy)
    with zipfile.ZipFile(package.path) as file:  # others may be editing the sources just now
        file.extractall(
            copies, [each for each in file.namelist() if each.startswith("asyncfabric")]
        )
    for path in copies.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    files = {
        path.relative_to(copies).as_posix(): path
        for name in sources
        for path in (copies / name).rglob("*")
        if path.is_file() and f"{path.relative_to(copies).as_posix()}" in set(_names(package))
    }
    monkeypatch.setattr(
        _package, "_ours", lambda: {k: v for k, v in files.items() if "__pycache__" not in k}
    )
    old = os.umask(0o077)
    try:
        again = build_package(tmp_path / "again.zip", X86)
    finally:
        os.umask(old)
    assert again.sha256 == package.sha256
    assert again.path.read_bytes() == package.path.read_bytes()


def test_what_is_in_it(package: Archive) -> None:
    names = _names(package)
    assert names == sorted(names)
    assert not [each for each in names if each.startswith(("botocore", "aiobotocore", "aiohttp"))]
    tops = {each.partition("/")[0] for each in names}
    assert {"asyncfabric", "asyncfabric_runtime", "asyncfabric_storage"} <= tops
    assert {"cloudpickle", "obstore"} <= tops
    assert package.size < 10_000_000
    assert not [each for each in names if each.endswith((".pyi", "RECORD", "INSTALLER"))]


def test_everyone_may_read_it(package: Archive) -> None:
    with zipfile.ZipFile(package.path) as file:
        modes = {info.external_attr >> 16 & 0o777 for info in file.infolist()}
        times = {info.date_time for info in file.infolist()}
    assert modes == {0o644, 0o755}
    assert times == {(1980, 1, 1, 0, 0, 0)}


def test_a_worker_needs_nothing_else(tmp_path: Path, package: Archive) -> None:
    """A Python with only the unpacked zip on its path runs the code from its bytecode."""
    with zipfile.ZipFile(package.path) as file:
        file.extractall(tmp_path)
    program = f"""
import json, sys
sys.path.insert(0, {str(tmp_path)!r})
import asyncfabric, asyncfabric_runtime, asyncfabric_storage, cloudpickle, obstore.store
import asyncfabric_runtime._aws_lambda as door
print(json.dumps([door.__file__, door.__cached__, [
    name for name, module in sys.modules.items()
    if "site-packages" in (getattr(module, "__file__", None) or "")
]]))
"""
    before = _contents(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    place, cached, foreign = json.loads(done.stdout)
    assert Path(place).is_relative_to(tmp_path)
    assert Path(cached).is_file()
    assert foreign == []
    assert _contents(tmp_path) == before  # all was compiled ahead


def _contents(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*")}


def test_all_that_a_worker_needs_is_named() -> None:
    """What obstore and cloudpickle require is among the distributions of the zip."""
    from importlib.metadata import requires

    known = {each.replace("-", "_") for each in distributions("3.11")}
    for name in ("obstore", "cloudpickle"):
        for requirement in requires(name) or []:
            if "extra ==" not in requirement:
                wanted = requirement.split(" ")[0].split(">")[0].split(";")[0]
                assert wanted.replace("-", "_") in known


def test_another_architecture(tmp_path: Path) -> None:
    """Compiled parts come from the package index; the rest is the same."""
    archive = build_package(tmp_path / "arm.zip", Target(PYTHON, "arm64"))
    with zipfile.ZipFile(archive.path) as file:
        (library,) = [each for each in file.namelist() if each.endswith(".so")]
        head = file.read(library)[:20]
    assert head[:4] == b"\x7fELF"
    assert int.from_bytes(head[18:20], "little") == 183  # EM_AARCH64


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("cp311-abi3-manylinux_2_17_x86_64", True),
        ("cp311-cp311-manylinux2014_x86_64", True),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp311-cp311-manylinux_2_28_x86_64", False),
        ("cp311-cp311-manylinux_2_17_aarch64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
        ("cp311-cp311-macosx_11_0_arm64", False),
    ],
)
def test_which_wheels_load_on_lambdas_python_311(tag: str, fits: bool) -> None:
    assert Target("3.11", "x86_64").fits(tag) is fits


def test_later_pythons_take_later_wheels() -> None:
    assert Target("3.12", "arm64").fits("cp312-cp312-manylinux_2_28_aarch64")
    assert Target("3.12", "x86_64").platforms[0] == "manylinux_2_34_x86_64"


def test_a_package_that_lambda_does_not_take(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "a.zip", {"a": b"x"})
    check_size(archive)
    with pytest.raises(DeploymentError, match=r"250.*--requirements"):
        check_size(archive._replace(unpacked=251 << 20))
