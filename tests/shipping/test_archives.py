"""Archives in a worker: unpacked, put on the path, exchanged."""

import errno
import importlib
import io
import os
import stat
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from asyncfabric import FabricError
from asyncfabric_runtime import _archives
from asyncfabric_runtime._archives import ArchiveError, Archives, missing_modules
from asyncfabric_storage import IntegrityError, digest
from tests.shipping.projects import prepend, write


def _zip(files: Mapping[str, str | bytes], *, mode: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = mode << 16
            archive.writestr(member, data)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archives"


@pytest.fixture
def archives(root: Path) -> Iterator[Archives]:
    archives = Archives(str(root))
    path, modules = list(sys.path), set(sys.modules)
    yield archives
    archives.activate(None)
    assert sys.path == path
    left = [
        name
        for name in set(sys.modules) - modules
        if str(root) in str(getattr(sys.modules[name], "__file__", ""))
    ]
    assert left == []


def _names(directory: str | Path) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


def _install(archives: Archives, files: Mapping[str, str | bytes]) -> str:
    data = _zip(files)
    archives.install(digest(data), data)
    return digest(data)


def _value(name: str, attribute: str = "VALUE") -> Any:
    return getattr(importlib.import_module(name), attribute)


# unpacking


def test_unpacked_once(archives: Archives, root: Path) -> None:
    data = _zip({"a/b.txt": "x", "tool": "y"})
    name = digest(data)
    assert not archives.holds(name)
    archives.install(name, memoryview(data))
    assert archives.holds(name)
    assert Archives(str(root)).holds(name)  # for the next process, too
    (root / name / "tool").write_text("changed")
    archives.install(name, data)
    assert (root / name / "tool").read_text() == "changed"
    assert _names(root) == [name]


def test_permissions(archives: Archives, root: Path) -> None:
    for mode, expected in ((0o100755, True), (0o100644, False), (0o104777, True)):
        data = _zip({"file": str(mode)}, mode=mode)
        archives.install(digest(data), data)
        status = (root / digest(data) / "file").stat()
        assert bool(status.st_mode & stat.S_IXUSR) is expected
        assert not status.st_mode & (stat.S_ISUID | stat.S_IWOTH)


def test_other_bytes_than_promised(archives: Archives, root: Path) -> None:
    with pytest.raises(IntegrityError, match="changed or damaged"):
        archives.install("0" * 64, _zip({"a.py": ""}))
    assert not root.exists()


@pytest.mark.parametrize(
    "name",
    ["../x", "/x", "a/../../x", "a//x", "./x", "a/./x", "a\\..\\x", "..", "a/..", "x_.py"],
)
def test_members_that_lead_elsewhere(archives: Archives, root: Path, name: str) -> None:
    data = _zip({"good.py": "", name: "x"}).replace(b"x_.py", b"x\0.py")
    with pytest.raises(ArchiveError, match="leads out of it"):
        archives.install(digest(data), data)
    assert _names(root) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO, stat.S_IFCHR])
def test_members_that_are_no_files(archives: Archives, root: Path, mode: int) -> None:
    data = _zip({"link": "/etc/passwd"}, mode=mode)
    with pytest.raises(ArchiveError, match="is no file"):
        archives.install(digest(data), data)
    assert _names(root) == []


def test_other_archives_that_make_no_sense(
    archives: Archives, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twice = _zip({"a.py": "1", "b.py": "2"}).replace(b"b.py", b"a.py")
    good = _zip({"a.py": "12345678"})
    damaged = good.replace(b"12345678", b"12345679")
    clash = _zip({"a": "x", "a/b": "y"})
    for data, message in (
        (twice, "two members"),
        (b"PK nonsense", "no zip file"),
        (damaged, "no zip file"),
        (clash, "can't unpack"),
    ):
        with pytest.raises(ArchiveError, match=message):
            archives.install(digest(data), data)
    monkeypatch.setattr(_archives, "MAX_BYTES", 7)
    with pytest.raises(ArchiveError, match="unpacks to more than"):
        archives.install(digest(good), good)
    assert _names(root) == []


@pytest.mark.parametrize("name", ["", "..", "../" + "0" * 61, "A" * 64, "0" * 63])
def test_digests_that_are_none(archives: Archives, name: str) -> None:
    for use in (archives.holds, archives.activate):
        with pytest.raises(ArchiveError, match="is not the digest"):
            use(name)


def test_what_a_dead_process_left_is_swept(archives: Archives, root: Path) -> None:
    write(root, {f".unpacking-{os.getpid()}-x/a": "", ".unpacking-4194303-y/a": ""})
    write(root, {f".unpacking-{os.getppid()}-alive/a": ""})
    name = _install(archives, {"a.py": ""})
    assert _names(root) == sorted([f".unpacking-{os.getppid()}-alive", name])


def _full_disk(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    extract = _archives._extract
    left = [times]

    def full(data: bytes, directory: str) -> None:
        if left[0]:
            left[0] -= 1
            (Path(directory) / "half").write_text("x")
            raise OSError(errno.ENOSPC, "No space left on device")
        extract(data, directory)

    monkeypatch.setattr(_archives, "_extract", full)


def test_a_full_disk(archives: Archives, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _full_disk(monkeypatch, 1)
    with pytest.raises(
        ArchiveError, match=r"no room in .*more ephemeral storage.*exclude"
    ) as caught:
        _install(archives, {"a.py": ""})
    assert isinstance(caught.value, FabricError)
    assert _names(root) == []


def test_room_is_made_of_archives_that_are_not_in_use(
    archives: Archives, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused = (_install(archives, {"a.py": f"VALUE = {x}"}) for x in (1, 2))
    archives.activate(used)
    _full_disk(monkeypatch, 1)
    new = _install(archives, {"a.py": "VALUE = 3"})
    assert _names(root) == sorted([used, new])
    assert not archives.holds(unused)


def test_the_directory_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = Archives()
    _install(first, {"a.py": ""})
    (directory,) = tmp_path.iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert _names(directory) == _names(Archives()._directory())
    directory.chmod(0o777)  # as someone else would leave it
    assert Archives()._directory() != str(directory)


# modules


def test_modules_come_from_the_archive_and_go_with_it(archives: Archives, root: Path) -> None:
    one = _install(archives, {"edited.py": "VALUE = 1", "pkg_x/__init__.py": "", "pkg_x/m.py": ""})
    two = _install(archives, {"edited.py": "VALUE = 2"})
    assert archives.activate(one)
    assert _value("edited") == 1
    _value("pkg_x.m", "__file__")
    assert not archives.activate(one)
    assert archives.activate(two)
    assert _value("edited") == 2
    assert "pkg_x.m" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pkg_x")
    assert not any(str(root / one) in path for path in [*sys.path, *sys.path_importer_cache])
    assert archives.active == two
    assert archives.activate(None)
    assert archives.active is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("edited")


def test_two_jobs_that_take_turns_keep_their_modules(archives: Archives) -> None:
    """Same names, other code; each finds its own state and its own classes again."""
    source = "class Kind: pass\nITEM = Kind()\nVALUE = {}\n"
    one = _install(archives, {"taking_turns.py": source.format(1)})
    two = _install(archives, {"taking_turns.py": source.format(2)})
    archives.activate(one)
    item = _value("taking_turns", "ITEM")
    for _ in range(3):
        archives.activate(two)
        assert _value("taking_turns") == 2
        assert not isinstance(item, _value("taking_turns", "Kind"))
        archives.activate(one)
        assert _value("taking_turns") == 1
        assert isinstance(item, _value("taking_turns", "Kind"))


def test_calls_of_one_job_share_classes(archives: Archives) -> None:
    one = _install(archives, {"shared_kind.py": "class Kind: pass"})
    archives.activate(one)
    item = _value("shared_kind", "Kind")()
    archives.activate(one)
    assert isinstance(item, _value("shared_kind", "Kind"))


def test_classes_by_value_get_their_new_bases(archives: Archives) -> None:
    """Cloudpickle knows such a class again; after an edit its base is another one."""
    source = "class Base:\n    VALUE = {}\n"
    one, two = (_install(archives, {"bases_x.py": source.format(x)}) for x in (1, 2))
    archives.activate(one)
    base = _value("bases_x", "Base")
    pickling: Any = cloudpickle
    data: bytes = pickling.dumps(type("Derived", (base,), {"__module__": "__main__"}))
    for name, expected in ((one, 1), (two, 2), (one, 1)):
        archives.activate(name)
        assert expected == pickling.loads(data).VALUE


def test_a_package_half_imported(archives: Archives) -> None:
    """What its failed import has left behind goes, too."""
    files = {
        "half/__init__.py": "from . import a\nraise OSError('half way')",
        "half/a.py": "VALUE = 1",
    }
    one = _install(archives, files)
    two = _install(archives, {"half/__init__.py": "", "half/a.py": "VALUE = 2"})
    archives.activate(one)
    with pytest.raises(OSError, match="half way"):
        importlib.import_module("half")
    archives.activate(two)
    assert _value("half.a") == 2


def test_modules_of_the_environment_with_the_same_names(
    archives: Archives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own come first, as in the driver; part of a namespace package may stay."""
    environment = {
        "same.py": "VALUE = 0",
        "names/base.py": "VALUE = 0",
        "names/both.py": "VALUE = 0",
    }
    prepend(monkeypatch, write(tmp_path / "environment", environment))
    for name in ("same", "names.base", "names.both"):
        assert _value(name) == 0
    base = sys.modules["names.base"]
    own = _install(archives, {"same.py": "VALUE = 1", "names/mine.py": "VALUE = 1"})
    try:
        archives.activate(own)
        assert _value("same") == 1
        assert _value("names.mine") == 1
        assert sys.modules["names.base"] is base
        archives.activate(None)
        assert not hasattr(sys.modules["names"], "mine")
        assert sys.modules["names"].base is base
        assert _value("same") == 0
        archives.activate(own)
        assert _value("names.mine") == 1
        assert sys.modules["names"].mine.VALUE == 1
    finally:
        for name in ("same", "names", "names.base", "names.both"):
            sys.modules.pop(name, None)


def test_data_files_shadow_no_modules(archives: Archives) -> None:
    import wave  # one of the standard library

    own = _install(archives, {"pytest.txt": "", "wave.csv": "", "numpy/table.csv": ""})
    archives.activate(own)
    assert sys.modules["pytest"] is pytest
    assert sys.modules["wave"] is wave


def test_odd_things_in_sys_modules(archives: Archives, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = "import sys\nclass Lazy:\n    __slots__ = ()\nsys.modules[__name__] = Lazy()"
    one = _install(archives, {"odd_one.py": replaced})
    archives.activate(one)
    importlib.import_module("odd_one")
    monkeypatch.setitem(sys.modules, "odd_two", None)
    archives.activate(None)
    assert "odd_one" not in sys.modules


def test_the_place_on_the_path(
    archives: Archives, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the function's own directory, before all else; back again if it was taken out."""
    own = _install(archives, {"x.py": ""})
    monkeypatch.setattr(sys, "path", ["/somewhere", str(tmp_path), "/elsewhere"])
    before = list(sys.path)
    archives.activate(own)
    assert sys.path == [str(root / own), *before]
    archives.activate(None)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    archives.activate(own)
    expected = ["/somewhere", str(tmp_path), str(root / own), "/elsewhere"]
    assert sys.path == expected
    sys.path.remove(str(root / own))
    assert not archives.activate(own)
    assert sys.path == expected
    archives.activate(None)
    monkeypatch.undo()


def test_an_archive_that_is_not_there(archives: Archives) -> None:
    with pytest.raises(ArchiveError, match="install it first"):
        archives.activate("0" * 64)
    assert archives.active is None


# what is missing


def test_missing_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "there.py": "raise RuntimeError('imported')",
            "package_there/__init__.py": "raise RuntimeError('imported')",
            "package_there/inner.py": "",
            "spaced/name/real/__init__.py": "",
            "folder/data.txt": "",
        },
    )
    prepend(monkeypatch, tmp_path)
    names = [
        "there", "package_there.inner", "package_there.not", "spaced.name.real", "spaced.other",
        "not_there", "not_there.x", "json", "sys", "numpy", "folder", "pytest", "",
    ]  # fmt: skip
    missing = ["package_there.not", "spaced.other", "not_there", "not_there.x", "folder", ""]
    assert missing_modules(names) == missing
    assert "there" not in sys.modules
    assert "package_there" not in sys.modules


def test_finders_that_raise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def find_spec(name: str, path: object = None) -> None:
            raise ZeroDivisionError

    monkeypatch.setattr(sys, "meta_path", [Broken, *sys.meta_path])
    monkeypatch.setitem(sys.modules, "without_spec", type(sys)("without_spec"))
    assert missing_modules(["wave", "without_spec", "not_there"]) == ["not_there"]
