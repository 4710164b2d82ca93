"""Fixtures: each store that jobs run on."""

from pathlib import Path

import pytest

from asyncfabric_storage import LocalStore, MemoryStore, ObjectStore


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store."""
    if request.param == "memory":
        return MemoryStore()
    return LocalStore(tmp_path / "store")


MASTER_KEY = "5a" * 32


@pytest.fixture(autouse=True)
def _master_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", MASTER_KEY)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """The URL of a store that outlives its Fabric."""
    return (tmp_path / "store").as_uri()


@pytest.fixture
def directory(tmp_path: Path) -> str:
    """Where functions note that they ran."""
    (tmp_path / "notes").mkdir()
    return str(tmp_path / "notes")
