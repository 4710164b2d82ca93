"""Compiled parts of packages: do they run on the workers' platform?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ._selection import File

_COMPILED = re.compile(r"\.(so(\.\d+)*|pyd|dylib|dll)$", re.IGNORECASE)
_TAG = re.compile(r"^[^.]+\.(?P<tag>(?:cpython-|pypy|graalpy|cp)\w[^.]*)\.")
# e_machine of the ELF header: System V ABI, and the supplements for x86-64 and AArch64.
_MACHINES = {62: "x86_64", 183: "arm64", 3: "32-bit x86", 40: "32-bit ARM", 243: "RISC-V"}
_MACHO = frozenset({
    b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xcf",
})  # fmt: skip
HEADER_BYTES = 20
"""So much of a file is looked at."""


class Target(NamedTuple):
    """The platform of the workers: Linux with glibc.

    Attributes:
        python: minor version, "3.11".
        arch: "x86_64" or "arm64".
    """

    python: str
    arch: str

    def __str__(self) -> str:
        return f"Linux on {self.arch}, Python {self.python}"


def is_compiled(name: str) -> bool:
    """Tell whether a file is compiled code, by its name."""
    return _COMPILED.search(name) is not None


def unfit(
    files: Iterable[File],
    headers: Mapping[str, bytes],
    target: Target,
    guarded: frozenset[str],
) -> set[str]:
    """Return the names of compiled parts to leave out: those for other platforms.

    `headers` holds the first bytes of each compiled file, `guarded` the modules that may be absent.
    Raises `DeploymentError` that names all parts of which no version fits and which have no
    fallback in Python.
    """
    names = {file.name for file in files}
    groups: dict[str, list[str]] = {}
    for name in sorted(headers):
        groups.setdefault(_stem(name), []).append(name)
    left_out: set[str] = set()
    wrong: list[str] = []
    for stem, group in groups.items():
        misfits = {name: reason for name in group if (reason := _misfit(name, headers, target))}
        left_out |= misfits.keys()
        dispensable = (
            len(misfits) < len(group)
            or not names.isdisjoint({f"{stem}.py", f"{stem}/__init__.py"})
            or stem.replace("/", ".") in guarded
        )
        if not dispensable:
            wrong += [f"{name} is {reason}" for name, reason in misfits.items()]
    if wrong:
        raise DeploymentError(
            f"compiled parts of your packages don't run on the workers ({target}): "
            f"{'; '.join(wrong)}. Build them for that platform (as a wheel, say) and "
            "deploy it: asyncfabric deploy --requirements your.whl; or leave them out by exclude "
            "in [tool.asyncfabric] of pyproject.toml"
        )
    return left_out


def _stem(name: str) -> str:
    """Return the name that the variants of one library for several platforms share."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0].removeprefix('lib')}"


def _misfit(name: str, headers: Mapping[str, bytes], target: Target) -> str:
    """Tell what a compiled file is made for, if not for the target; else ""."""
    header = headers[name]
    if header[:4] in _MACHO or name.endswith(".dylib"):
        return "for macOS"
    if header[:2] == b"MZ" or name.lower().endswith((".pyd", ".dll")):
        return "for Windows"
    if header[:4] != b"\x7fELF" or len(header) < HEADER_BYTES:
        return "no compiled library at all"
    machine = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
    if _MACHINES.get(machine) != target.arch or header[4] != 2:  # noqa: PLR2004 - 64 bits
        return f"for {_MACHINES.get(machine, f'machine type {machine}')}"
    return _wrong_tag(name.rpartition("/")[2], target)


def _wrong_tag(name: str, target: Target) -> str:
    tag = _TAG.match(name)
    if tag is None:
        return ""
    if tag["tag"].split("-")[:2] != ["cpython", target.python.replace(".", "")]:
        return f"for another Python ({tag['tag']})"
    return "for musl (Alpine Linux), not glibc" if "musl" in tag["tag"] else ""
