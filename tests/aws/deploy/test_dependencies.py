"""The user's packages: into an archive here, onto the path of a worker there."""

import os
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from asyncfabric import ConfigurationError, DeploymentError, IntegrityError, StorageError
from asyncfabric.aws.deploy._archive import Archive, write_archive
from asyncfabric.aws.deploy._dependencies import build_dependencies, check_space, differences
from asyncfabric.aws.deploy._target import Target
from asyncfabric_runtime import PYTHON, _dependencies
from asyncfabric_runtime._dependencies import VARIABLE, install_dependencies

PURE = "typing-extensions==4.16.0"


@pytest.fixture(autouse=True)
def a_tmp_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "path", [*sys.path])


def _deployed(path: Path, monkeypatch: pytest.MonkeyPatch, digest: str | None = None) -> str:
    digest = digest or sha256(path.read_bytes()).hexdigest()
    monkeypatch.setenv(VARIABLE, f"file://{path}#{digest}")
    return digest


def _archive(tmp_path: Path, **files: str) -> Path:
    named = {name.replace("__", "/") + ".py": text.encode() for name, text in files.items()}
    return write_archive(tmp_path / "packages.zip", named).path


def test_requirements_for_another_platform(tmp_path: Path) -> None:
    """The same versions are the same bytes; a requirements file is as good as a requirement."""
    listed = tmp_path / "requirements.txt"
    listed.write_text(f"{PURE}\n")
    target = Target(PYTHON, "arm64")
    first = build_dependencies(tmp_path / "1.zip", [PURE], target)
    second = build_dependencies(tmp_path / "2.zip", [str(listed)], target)
    assert first.versions == {"typing_extensions": "4.16.0"}
    assert first.archive.sha256 == second.archive.sha256
    with zipfile.ZipFile(first.archive.path) as file:
        names = file.namelist()
    assert "typing_extensions.py" in names
    assert f"__pycache__/typing_extensions.{sys.implementation.cache_tag}.pyc" in names


def test_what_cannot_be_installed(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"typing-extensions==0\.0\.1.*arm64.*docs/deploy"):
        build_dependencies(
            tmp_path / "1.zip", ["typing-extensions==0.0.1"], Target(PYTHON, "arm64")
        )
    with pytest.raises(ConfigurationError, match=r"nowhere\.txt"):
        build_dependencies(tmp_path / "1.zip", ["nowhere.txt"], Target(PYTHON, "arm64"))


def test_versions_that_differ() -> None:
    assert differences({"hypothesis": "0.1", "no-such-package": "1"})[0].startswith(
        "hypothesis 0.1"
    )
    assert differences({}) == []


def test_too_large_for_tmp(tmp_path: Path) -> None:
    archive = Archive(tmp_path, 80 << 20, 400 << 20, "0" * 64)
    check_space(archive, 1024)
    with pytest.raises(DeploymentError, match="--ephemeral-storage 1024"):
        check_space(archive, 512)


# in the worker


def test_packages_come_onto_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = _deployed(_archive(tmp_path, af_gift="X = 1", af_pack__inner="Y = 2"), monkeypatch)
    ours = str(Path(_dependencies.__file__).parents[1])
    sys.path.insert(0, ours)
    install_dependencies()
    folder = sys.path[sys.path.index(ours) + 1]
    assert Path(folder).name == digest
    assert (Path(folder) / "af_pack" / "inner.py").read_text() == "Y = 2"
    assert [each.name for each in Path(folder).parent.iterdir()] == [digest]  # nothing else


def test_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = _archive(tmp_path, af_gift="X = 1")
    _deployed(archive, monkeypatch)
    install_dependencies()
    archive.unlink()
    before = [*sys.path]
    install_dependencies()
    assert sys.path == before


def test_what_a_killed_worker_left_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = _deployed(_archive(tmp_path, af_gift="X = 1"), monkeypatch)
    home = tmp_path / f"asyncfabric-dependencies-{os.getuid()}"
    for process in (os.getpid(), 2**22 + 1, os.getppid()):
        (home / f"{digest}.{process}").mkdir(parents=True)
    home.chmod(0o700)
    install_dependencies()
    alive = f"{digest}.{os.getppid()}"
    assert {each.name for each in home.iterdir()} == {digest, alive}


def test_nothing_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    before = [*sys.path]
    install_dependencies()
    assert sys.path == before


def test_an_archive_larger_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dependencies, "_PIECE", 7)
    digest = _deployed(_archive(tmp_path, af_gift="X = 1", af_more="Z = 3"), monkeypatch)
    install_dependencies()
    assert digest in [Path(each).name for each in sys.path]


def test_another_archive_than_was_deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deployed(_archive(tmp_path, af_gift="X = 1"), monkeypatch, "0" * 64)
    with pytest.raises(IntegrityError, match="deploy again"):
        install_dependencies()
    assert not [each for each in sys.path if each.endswith("0" * 64)]


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "a\\..\\out.py"])
def test_paths_that_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, "x")
    _deployed(path, monkeypatch)
    with pytest.raises(IntegrityError, match="may not be unpacked"):
        install_dependencies()


def test_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    _deployed(path, monkeypatch)
    with pytest.raises(IntegrityError, match="may not be unpacked"):
        install_dependencies()


def test_no_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "packages.zip"
    path.write_bytes(b"no zip at all")
    _deployed(path, monkeypatch)
    with pytest.raises(IntegrityError, match="no zip"):
        install_dependencies()


def test_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deployed(tmp_path / "gone.zip", monkeypatch, "0" * 64)
    with pytest.raises(StorageError, match="deploy"):
        install_dependencies()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deployed(_archive(tmp_path, af_gift="X = 1"), monkeypatch)

    class Full:
        f_bavail = f_frsize = 0

    def full(path: str) -> type[Full]:
        return Full

    monkeypatch.setattr(os, "statvfs", full)
    with pytest.raises(StorageError, match="--ephemeral-storage"):
        install_dependencies()


@pytest.mark.parametrize(
    "text", ["s3://b/k", "s3://b/k#123", "k#" + "0" * 64, "s3://b/k#" + "Z" * 64]
)
def test_a_variable_of_another_form(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigurationError, match="deploy again"):
        install_dependencies()


def test_somebody_elses_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _deployed(_archive(tmp_path, af_gift="X = 1"), monkeypatch)
    home = tmp_path / f"asyncfabric-dependencies-{os.getuid()}"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(ConfigurationError, match="another user's"):
        install_dependencies()


def test_workers_that_start_together(tmp_path: Path) -> None:
    """Each finds the packages whole, whoever unpacked them."""
    path = _archive(tmp_path, **{f"af_gift{n}": "X = 1" for n in range(50)})
    reference = f"file://{path}#{sha256(path.read_bytes()).hexdigest()}"
    program = (
        "from asyncfabric_runtime._dependencies import install_dependencies\n"
        "install_dependencies()\n"
        "import af_gift49; print(af_gift49.X)"
    )
    root = Path(_dependencies.__file__).parents[2]
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        VARIABLE: reference,
        "PYTHONPATH": os.pathsep.join([str(root / "runtime"), str(root / "storage")]),
    }
    workers = [
        subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [worker.communicate()[0].strip() for worker in workers] == [b"1"] * 4
