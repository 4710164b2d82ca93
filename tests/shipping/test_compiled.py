"""Compiled parts of packages, for this platform and others."""

import struct
from pathlib import Path

import pytest

from asyncfabric import DeploymentError
from asyncfabric.shipping._archive import build_archive
from asyncfabric.shipping._compiled import Target
from asyncfabric.shipping._survey import survey
from tests.shipping.projects import importing, write

X86, ARM = 62, 183
MACOS = b"\xcf\xfa\xed\xfe" + bytes(28)
WINDOWS = b"MZ" + bytes(30)


def _elf(machine: int, bits: int = 2) -> bytes:
    return b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", 3, machine) + bytes(44)


HERE = Target("3.11", "x86_64")


def _files(target: Target = HERE) -> tuple[str, ...]:
    return build_archive(survey([importing("import pkg")]), target).files


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("fast.cpython-311-x86_64-linux-gnu.so", _elf(X86), None),
        ("fast.abi3.so", _elf(X86), None),
        ("fast.so", _elf(X86), None),
        ("libfast.so.1.2", _elf(X86), None),
        ("fast.cpython-311-aarch64-linux-gnu.so", _elf(ARM), "for arm64"),
        ("fast.so", _elf(X86, bits=1), "for x86_64"),
        ("fast.cpython-312-x86_64-linux-gnu.so", _elf(X86), "another Python (cpython-312"),
        ("fast.cpython-311d-x86_64-linux-gnu.so", _elf(X86), "another Python"),
        ("fast.cpython-311-x86_64-linux-musl.so", _elf(X86), "for musl"),
        ("fast.cpython-311-darwin.so", MACOS, "for macOS"),
        ("libfast.dylib", MACOS, "for macOS"),
        ("fast.cp311-win_amd64.pyd", WINDOWS, "for Windows"),
        ("fast.dll", WINDOWS, "for Windows"),
        ("fast.so", b"version https://git-lfs.github.com/spec/v1", "no compiled library"),
        ("fast.so", b"", "no compiled library"),
    ],
)
def test_what_fits(project: Path, name: str, content: bytes, reason: str | None) -> None:
    write(project, {"pkg/__init__.py": "", f"pkg/{name}": content})
    if reason is None:
        assert _files() == ("pkg/__init__.py", f"pkg/{name}")
    else:
        with pytest.raises(DeploymentError) as caught:
            _files()
        assert f"pkg/{name} is " in str(caught.value)
        assert reason in str(caught.value)
        assert "Linux on x86_64, Python 3.11" in str(caught.value)


def test_the_target_decides(project: Path) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/fast.so": _elf(ARM)})
    assert "pkg/fast.so" in _files(Target("3.11", "arm64"))


def test_one_error_for_all_of_them(project: Path) -> None:
    write(project, {"pkg/__init__.py": "", "pkg/a.so": _elf(ARM), "pkg/b.pyd": WINDOWS})
    with pytest.raises(DeploymentError, match=r"pkg/a\.so is for arm64; pkg/b\.pyd is for Windows"):
        _files()
    write(project, {"pyproject.toml": '[tool.asyncfabric]\nexclude = ["*.so", "*.pyd"]'})
    assert _files() == ("pkg/__init__.py",)


def test_builds_for_several_platforms_side_by_side(project: Path) -> None:
    fitting = "pkg/fast.cpython-311-x86_64-linux-gnu.so"
    write(
        project,
        {
            "pkg/__init__.py": "from . import fast",
            fitting: _elf(X86),
            "pkg/fast.cpython-311-darwin.so": MACOS,
            "pkg/fast.cpython-310-x86_64-linux-gnu.so": _elf(X86),
            "pkg/libdata.so": _elf(X86),
            "pkg/data.dll": WINDOWS,
            "pkg/libdata.dylib": MACOS,
        },
    )
    assert _files() == ("pkg/__init__.py", fitting, "pkg/libdata.so")


def test_where_there_is_a_fallback(project: Path) -> None:
    """The same module in Python, or an import whose failure is caught."""
    write(
        project,
        {
            "pkg/__init__.py": "try:\n    from . import speedups\nexcept ImportError:\n    pass",
            "pkg/speedups.cpython-311-darwin.so": MACOS,
            "pkg/twice.py": "",
            "pkg/twice.cpython-311-darwin.so": MACOS,
        },
    )
    assert _files() == ("pkg/__init__.py", "pkg/twice.py")
    write(project, {"pkg/other.py": "from .speedups import f"})
    with pytest.raises(DeploymentError, match="speedups"):
        _files()
