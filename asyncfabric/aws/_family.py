"""The function family: one name, and a Lambda function for each kind of worker.

A driver asks for the member of its own wire version and Python, of the memory and architecture it
was told. Members of several kinds live side by side, so an upgrade interrupts nobody.
"""

from __future__ import annotations

import platform
import re
from typing import NamedTuple

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime import PYTHON, WIRE_VERSION

ARCHITECTURES = ("x86_64", "arm64")
DEFAULT_MEMORY = 1769
"""MB; the least that comes with one whole core."""
LEAST_MEMORY, MOST_MEMORY = 128, 10_240
"""MB that a Lambda function may have."""
LONGEST_NAME = 40
"""Characters of a family's name: a function's name has 64 at most."""

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}")
_MEMBER = re.compile(
    rf"(?P<name>{_NAME.pattern})-w(?P<wire>\d{{1,3}})-py(?P<major>\d)(?P<minor>\d{{1,2}})"
    rf"-(?P<arch>{'|'.join(ARCHITECTURES)})-(?P<memory>\d{{3,5}})"
)


class Member(NamedTuple):
    """One function of a family."""

    name: str
    """The family's name."""
    wire: int
    """The wire version its workers speak."""
    python: str
    """Their Python, as `3.11`."""
    arch: str
    """`x86_64` or `arm64`."""
    memory: int
    """MB."""

    @property
    def function_name(self) -> str:
        """The name of the Lambda function.

        >>> Member("asyncfabric", 1, "3.11", "x86_64", 1769).function_name
        'asyncfabric-w1-py311-x86_64-1769'
        """
        python = self.python.replace(".", "")
        return f"{self.name}-w{self.wire}-py{python}-{self.arch}-{self.memory}"

    @classmethod
    def parse(cls, function_name: str) -> Member | None:
        """Return the member that is so called, or None if no member is.

        >>> Member.parse("asyncfabric-w1-py311-arm64-3538").python
        '3.11'
        """
        found = _MEMBER.fullmatch(function_name)
        if found is None:
            return None
        return cls(
            found["name"],
            int(found["wire"]),
            f"{found['major']}.{found['minor']}",
            found["arch"],
            int(found["memory"]),
        )


def machine() -> str:
    """Return the architecture of this machine in Lambda's words; `x86_64` where it has none."""
    return "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64"


def member(name: str, *, memory: int = DEFAULT_MEMORY, arch: str | None = None) -> Member:
    """Return the member of a family that fits this driver: its Python and its wire version.

    Args:
        name: the family's name, as in `lambda://NAME`.
        memory: MB of a worker, from 128 to 10,240.
        arch: `x86_64` or `arm64`; this machine's by default.

    Raises:
        ConfigurationError: no function could be so called.
    """
    check_name(name)
    arch = machine() if arch is None else arch
    if arch not in ARCHITECTURES:
        msg = f"no worker has the architecture {arch!r}; give {' or '.join(ARCHITECTURES)}"
        raise ConfigurationError(msg)
    if not LEAST_MEMORY <= memory <= MOST_MEMORY:
        msg = f"a worker can't have {memory} MB; give {LEAST_MEMORY} to {MOST_MEMORY}"
        raise ConfigurationError(msg)
    return Member(name, WIRE_VERSION, PYTHON, arch, memory)


def check_name(name: str) -> None:
    """Raise `ConfigurationError` unless a family may be called `name`."""
    if not _NAME.fullmatch(name):
        msg = (
            f"a function family can't be called {name!r}; "
            f"give 1 to {LONGEST_NAME} letters, digits, '-' or '_'"
        )
        raise ConfigurationError(msg)
