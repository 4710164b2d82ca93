"""What a worker runs on: which wheels fit a Lambda function."""

from __future__ import annotations

import re
from typing import NamedTuple

from asyncfabric._exceptions import ConfigurationError

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
_PLATFORM = re.compile(r"manylinux_2_(\d+)_(\w+)")
_OLD_NAMES = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_AMAZON_LINUX_2023 = 12
"""The minor version of Python from which Lambda's runtimes are based on Amazon Linux 2023."""


class Target(NamedTuple):
    """A Python on Lambda."""

    python: str
    """As `3.11`."""
    arch: str
    """`x86_64` or `arm64`."""

    @property
    def runtime(self) -> str:
        """Lambda's name for the Python, as `python3.11`."""
        return f"python{self.python}"

    @property
    def machine(self) -> str:
        """The architecture in the words of wheels."""
        return _MACHINES[self.arch]

    @property
    def glibc(self) -> int:
        """The minor version of the C library.

        Runtimes up to Python 3.11 are based on Amazon Linux 2 (glibc 2.26), later ones on Amazon
        Linux 2023 (2.34). A wheel that asks for a later one doesn't load.
        """
        minor = int(self.python.partition(".")[2])
        return 34 if minor >= _AMAZON_LINUX_2023 else 26

    @property
    def platforms(self) -> list[str]:
        """The platform tags of wheels that load there, best first."""
        names = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, 16, -1)]
        return [*names, f"manylinux2014_{self.machine}"]

    def fits(self, tag: str) -> bool:
        """Return whether a wheel with this tag loads there.

        >>> Target("3.11", "x86_64").fits("cp311-abi3-manylinux_2_17_x86_64")
        True
        >>> Target("3.11", "x86_64").fits("cp311-cp311-manylinux_2_28_x86_64")
        False
        """
        return any(self._loads(platform) for platform in tag.rpartition("-")[2].split("."))

    def _loads(self, platform: str) -> bool:
        if platform == "any":
            return True
        for name, minor in _OLD_NAMES.items():
            if platform == f"{name}_{self.machine}":
                return minor <= self.glibc
        found = _PLATFORM.fullmatch(platform)
        return found is not None and found[2] == self.machine and int(found[1]) <= self.glibc


def check_python(python: str) -> None:
    """Raise `ConfigurationError` where Lambda has no such Python."""
    minor = int(python.partition(".")[2])
    if not 11 <= minor <= 15:  # noqa: PLR2004
        msg = (
            f"Lambda has no runtime for Python {python}; "
            "run this with a Python from 3.11 to 3.15, or deploy an image with --image"
        )
        raise ConfigurationError(msg)
