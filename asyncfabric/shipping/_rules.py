"""`include` and `exclude`, from `[tool.asyncfabric]` of the nearest pyproject.toml."""

# ruff: noqa: PTH116, PTH118, PTH120, PTH123
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import os
import re
import tomllib
from typing import Any, NamedTuple, cast

from asyncfabric._exceptions import ConfigurationError

from ._globs import compiled

_FILE = "pyproject.toml"


class Rules(NamedTuple):
    """What the user adds to the files that travel, and takes away.

    Attributes:
        include: patterns of files to add, from the directory that holds the packages or from the
            pyproject.toml's own.
        exclude: patterns of files to leave out.
        path: the pyproject.toml, "" without one.
        stamp: its size and time, to see it change.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    path: str = ""
    stamp: tuple[int, ...] = ()

    @property
    def directory(self) -> str:
        """Where the pyproject.toml lies; "" without one."""
        return os.path.dirname(self.path)

    def with_patterns(self, include: tuple[str, ...], exclude: tuple[str, ...]) -> Rules:
        """Return them with more patterns. Raises `ConfigurationError` for what is no pattern."""
        check_patterns("include", include)
        check_patterns("exclude", exclude)
        return self._replace(include=self.include + include, exclude=self.exclude + exclude)


def rules_above(directory: str) -> Rules:
    """Read the pyproject.toml in a directory or the nearest one above it.

    Raises `ConfigurationError` that names the file and what in it makes no sense.
    """
    while True:
        path = os.path.join(directory, _FILE)
        try:
            status = os.stat(path)
            with open(path, "rb") as file:
                table: Any = tomllib.load(file)
        except (FileNotFoundError, NotADirectoryError):
            parent = os.path.dirname(directory)
            if parent == directory:
                return Rules()
            directory = parent
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path} can't be read: {error}; mend it") from error
        else:
            stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            return _parsed(table, path, stamp)


def _parsed(table: Any, path: str, stamp: tuple[int, ...]) -> Rules:  # noqa: ANN401 - from TOML
    tool = table.get("tool", {})
    ours = tool.get("asyncfabric", {}) if isinstance(tool, dict) else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] # any TOML
    if not isinstance(ours, dict):
        raise ConfigurationError(f"{path}: tool.asyncfabric must be a table, [tool.asyncfabric]")
    settings = cast("dict[str, object]", ours)
    include, exclude = (
        check_patterns(f"{path}: {name}", settings.get(name, [])) for name in ("include", "exclude")
    )
    return Rules(include, exclude, path, stamp)


def check_patterns(what: str, patterns: object) -> tuple[str, ...]:
    """Return patterns as a tuple. Raises `ConfigurationError` if they are none."""
    if not isinstance(patterns, list | tuple):
        raise ConfigurationError(f'{what} must be a list of patterns, as in ["data/*.csv"]')
    checked: list[str] = []
    for pattern in cast("list[object]", patterns):
        if not isinstance(pattern, str) or not pattern.strip("/. "):
            raise ConfigurationError(f"{what}: {pattern!r} is no pattern; write it as in 'data/*'")
        if ".." in pattern.split("/") or "\\" in pattern:
            raise ConfigurationError(
                f"{what}: {pattern!r} must name files below its directory, with forward slashes"
            )
        try:
            compiled((pattern,))
        except re.error as error:
            raise ConfigurationError(f"{what}: {pattern!r} is no pattern: {error}") from error
        checked.append(pattern)
    return tuple(checked)
