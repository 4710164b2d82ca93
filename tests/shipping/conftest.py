"""Fixtures: a user's project."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shipping.projects import prepend


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory on sys.path, which is the current one, too."""
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    prepend(monkeypatch, root)
    before = set(sys.modules)
    yield root
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
