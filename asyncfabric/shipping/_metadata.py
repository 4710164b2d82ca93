"""The metadata of editable installs, for packages that ask for their own version.

`importlib.metadata.version("mine")` in a package's `__init__.py` must work in the worker, too.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

_KEPT = frozenset({"METADATA", "entry_points.txt"})


class Origin(NamedTuple):
    """Where an installed distribution came from (PEP 610).

    Attributes:
        requirement: how to ask pip for it again; "" for a directory.
        directory: the directory it was installed from; "" for others.
        editable: whether it is imported from there.
    """

    requirement: str
    directory: str
    editable: bool


def origin_of(distribution: Distribution) -> Origin | None:
    """Tell where a distribution came from, if not from an index."""
    try:
        found: Any = json.loads(distribution.read_text("direct_url.json") or "null")
        if not found:
            return None
        url: str = found["url"]
        vcs: Any = found.get("vcs_info")
        if vcs:
            name = distribution.metadata["Name"]
            return Origin(f"{name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}", "", editable=False)
        if "dir_info" in found:
            directory = unquote(urlsplit(url).path).rstrip("/")
            return Origin("", directory, editable=bool(found["dir_info"].get("editable")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # whoever wrote it did not mean us
    return Origin(
        unquote(urlsplit(url).path) if url.startswith("file:") else url, "", editable=False
    )


def metadata_of(path: str) -> Iterator[tuple[str, str]]:
    """Yield the metadata files of the editable install that a path belongs to: name, path."""
    for directory, files in _editable():
        if path.startswith(directory + "/"):
            yield from files


@cache
def _editable() -> list[tuple[str, list[tuple[str, str]]]]:
    found: list[tuple[str, list[tuple[str, str]]]] = []
    for distribution in distributions():
        origin = origin_of(distribution)
        if origin is not None and origin.editable:
            files = [
                (f"{file.parent.name}/{file.name}", str(file.locate()))
                for file in distribution.files or ()
                if file.name in _KEPT and file.parent.name.endswith(".dist-info")
            ]
            real = [(name, path) for name, path in files if Path(path).is_file()]
            found.append((origin.directory, real))
    return found
