"""From URLs to stores."""

from pathlib import Path

import pytest

from asyncfabric_storage import (
    ConfigurationError,
    LocalStore,
    MemoryStore,
    ObjectStore,
    open_store,
)


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("file:///tmp/x", "/tmp/x"),
        ("file:///tmp/x/", "/tmp/x"),
        ("FILE:///tmp/x", "/tmp/x"),
        ("file://localhost/tmp/x", "/tmp/x"),
        ("file:///tmp/a%20b%23%3Fc%25", "/tmp/a b#?c%"),
        ("file:///tmp/a b", "/tmp/a b"),
        ("file:///tmp/%C3%BC", "/tmp/ü"),
        ("file:///tmp/../tmp/./x", "/tmp/x"),
        ("file:///", "/"),
    ],
)
def test_file_urls(url: str, root: str) -> None:
    store = open_store(url)
    assert isinstance(store, LocalStore)
    assert store.root == root
    assert open_store(store.url).url == store.url
    assert not store.ephemeral
    assert store.shared


def test_memory_urls() -> None:
    store = open_store("memory://")
    assert isinstance(store, MemoryStore)
    assert open_store(store.url) is store
    assert open_store("memory://").url != store.url


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("/tmp/x", "'file:///tmp/x'"),
        ("/tmp/a b", "'file:///tmp/a%20b'"),
        ("~/x", f"'file://{Path.home()}/x'"),
        ("./x", f"'{Path.cwd().as_uri()}/x'"),
        ("x", "'file:///absolute/dir' or 'memory://'"),
        ("", "'file:///absolute/dir' or 'memory://'"),
        ("file:/tmp/x", "'file:///absolute/dir'"),
        ("file://", "names no directory"),
        ("file://relative", f"'{Path.cwd().as_uri()}/relative'"),
        ("file://relative/dir", f"'{Path.cwd().as_uri()}/relative/dir'"),
        ("file:///tmp/x?mode=fast&b", "has b, mode; leave"),
        ("file:///tmp/x#y", "%23"),
        ("file:///tmp/%00", "NUL"),
        ("file://[x/y", "not a URL"),
        ("memory://?x=1", "has x; leave"),
        ("memory://unknown", "file:///"),
        ("memory:///path", "has a path"),
        ("gopher://x", "known: file://, memory://"),
        ("://x", "known: file://, memory://"),
    ],
)
def test_what_is_refused_and_what_to_do(url: str, advice: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert advice in str(caught.value)
    assert repr(url) in str(caught.value) or "unknown" in url


@pytest.mark.parametrize("url", [None, 3, Path("/tmp/x"), object()])
def test_what_is_no_url_is_refused(url: object) -> None:
    with pytest.raises(ConfigurationError, match="URL or an ObjectStore"):
        open_store(url)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_store_is_returned_as_it_is() -> None:
    store: ObjectStore = MemoryStore()
    assert open_store(store) is store


def test_a_relative_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = LocalStore("data")
    monkeypatch.chdir("/")
    assert store.root == str(tmp_path / "data")
