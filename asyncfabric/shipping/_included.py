"""What `include` adds to the packages that travel."""

# ruff: noqa: PTH118, PTH207
# Thousands of paths are joined and compared; here they are strings.

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._rules import Rules
    from ._selection import Selection


def add_included(selection: Selection, rules: dict[str, Rules]) -> None:
    """Add what `include` asks for; `rules` are by the directories that hold the packages.

    Patterns start from any of these directories, or from the pyproject.toml's. A file keeps its
    place relative to the packages. Raises `ConfigurationError` for a pattern without any file, and
    for files that lie beside none of the packages.
    """
    for each in dict.fromkeys(rules.values()):
        roots = sorted((root for root in rules if rules[root] == each), key=len, reverse=True)
        for pattern in each.include:
            matched = list(_matches(pattern, [*roots, *([each.directory] if each.path else [])]))
            if not matched:
                raise ConfigurationError(
                    f"{each.path or 'include'}: {pattern!r} matches no file in "
                    f"{' or '.join(roots)}; mend the pattern or remove it from include"
                )
            for path in matched:
                root = next((root for root in roots if path.startswith(_within(root))), None)
                if root is None:
                    raise ConfigurationError(
                        f"{each.path}: include {pattern!r} matches {path}, but your packages are "
                        f"in {' and '.join(roots)}, and workers have only what is below; move it "
                        "there"
                    )
                selection.add_included(path, root, each)


def _matches(pattern: str, bases: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for base in bases:
        names = glob.iglob(
            pattern.removeprefix("./").strip("/"),
            root_dir=base,
            recursive=True,
            include_hidden=True,
        )
        for name in names:
            path = os.path.normpath(os.path.join(base, name))
            if path not in seen:
                seen.add(path)
                yield path


def _within(directory: str) -> str:
    return directory.rstrip(os.sep) + os.sep
