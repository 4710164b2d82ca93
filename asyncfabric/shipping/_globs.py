"""Patterns of file names, as in .gitignore.

`*` and `?` stay within a name, `**` crosses directories. A pattern without a slash is looked for at
any depth, one with a slash from the top. What matches a directory matches all below it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PARTS = re.compile(r"\*\*/|/\*\*$|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_MEANINGS = {"**/": "(?:.*/)?", "/**": "/.*", "*": "[^/]*", "?": "[^/]"}


@lru_cache(maxsize=64)
def compiled(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return what matches any of the patterns; None without patterns. Raises `re.error`."""
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{_translated(pattern)})" for pattern in patterns))


def matches(patterns: tuple[str, ...], names: Iterable[str]) -> bool:
    """Tell whether any of the names, with slashes, matches any of the patterns."""
    pattern = compiled(patterns)
    return pattern is not None and any(pattern.fullmatch(name) for name in names)


def _translated(pattern: str) -> str:
    body = pattern.removeprefix("./").rstrip("/")
    start = "(?:.*/)?" if "/" not in body else ""
    return start + "".join(map(_part, _PARTS.findall(body.removeprefix("/")))) + "(?:/.*)?"


def _part(part: str) -> str:
    if part in _MEANINGS:
        return _MEANINGS[part]
    if part.startswith("[") and len(part) > 1:
        return part.replace("[!", "[^").replace("\\", "\\\\")
    return re.escape(part)
