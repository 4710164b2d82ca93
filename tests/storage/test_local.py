"""The local store: what is particular to a directory. See test_local_processes too."""

import asyncio
import contextlib
import gc
import os
import pickle
import stat
import sys
import tracemalloc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

import asyncfabric_storage._mapping as mapping
from asyncfabric_storage import LocalStore, ObjectNotFound, ObjectStore, StorageError, open_store

from .conformance import StoreConformance, keys_of

BIG = 2 * 1024 * 1024


class TestLocalStore(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return LocalStore(tmp_path / "new" / "store")


class TestTemporaryStore(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[ObjectStore]:
        store = LocalStore.temporary()
        yield store
        store.remove()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_nothing_is_made_before_the_first_write(store: LocalStore, root: Path) -> None:
    assert store.url == root.as_uri()
    assert await keys_of(store) == []
    await store.delete("k")
    with pytest.raises(ObjectNotFound):
        await store.get("k")
    assert not root.exists()
    await store.put("k", b"")
    assert root.exists()


async def test_a_key_is_its_own_path(store: LocalStore, root: Path) -> None:
    await store.put("a/B c/d#1.txt", b"1")
    assert files_below(root) == ["a/B c/d#1.txt"]
    (root / "data").mkdir()
    (root / "data" / "t=00%3A00.csv").write_bytes(b"x,y")
    assert bytes(await store.get("data/t=00%3A00.csv")) == b"x,y"
    assert await keys_of(store, "data/") == ["data/t=00%3A00.csv"]


async def test_what_is_no_object_is_not_listed(store: LocalStore, root: Path) -> None:
    await store.put("k", b"1")
    (root / "empty").mkdir()
    (root / "line\nbreak").touch()
    (root / "line\nbreak2").mkdir()
    (root / "line\nbreak2" / "x").touch()
    (root / "\x7f0123456789abcdef").touch()
    (root / "\x7f+").mkdir()
    (root / "\x7f+" / "x").touch()
    (root / "short\x7f+").mkdir()
    (root / "short\x7f+" / "x").touch()
    (root / os.fsdecode(b"\xff")).touch()
    os.mkfifo(root / "pipe")
    assert await keys_of(store) == ["k"]
    for key in ["pipe", "empty"]:
        with pytest.raises(ObjectNotFound):
            await store.get(key)
    await store.put("empty", b"an empty directory is in nobody's way")
    assert await store.put_if_absent("line", b"1")


async def test_symbolic_links_are_not_followed(
    store: LocalStore, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    await store.put("k", b"1")
    (root / "file").symlink_to(outside / "secret")
    (root / "dir").symlink_to(outside)
    (root / "dangling").symlink_to(outside / "absent")
    assert await keys_of(store) == ["k"]
    for prefix in ["dir/", "dir/s"]:
        with pytest.raises(StorageError, match="symbolic link"):
            await keys_of(store, prefix)
    for key in ["file", "dir/secret", "dir/new", "dir/new/er"]:
        with pytest.raises(StorageError, match="symbolic link"):
            await store.get(key)
        with pytest.raises(StorageError, match="symbolic link"):
            await store.head(key)
        with pytest.raises(StorageError, match="symbolic link"):
            await store.delete(key)
        with pytest.raises(StorageError, match="symbolic link"):
            await store.put_if_absent(key, b"")
    with pytest.raises(StorageError, match="symbolic link"):
        await store.put_if_absent("dangling", b"")
    with pytest.raises(StorageError, match="symbolic link"):
        await store.put("dir/secret", b"")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


async def test_the_root_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "target")
    store = LocalStore(tmp_path / "link")
    await store.put("a/k", b"1")
    assert await keys_of(store) == ["a/k"]
    assert files_below(tmp_path / "target") == ["a/k"]


async def test_directories_vanish_with_their_last_object(store: LocalStore, root: Path) -> None:
    await store.put_many([("a/b/c", b""), ("a/d", b"")])
    await store.delete("a/b/c")
    assert [path.name for path in (root / "a").iterdir()] == ["d"]
    await store.delete("a/d")
    assert list(root.iterdir()) == []


async def test_writers_and_deleters_of_one_directory(store: LocalStore) -> None:
    async def write(number: int) -> None:
        for _ in range(100):
            await store.put(f"a/b/c/{number}", b"1")
            await store.delete(f"a/b/c/{number}")

    await asyncio.gather(*(write(number) for number in range(8)))
    assert await keys_of(store) == []


async def test_large_objects_are_mapped_and_parts_are_not(store: LocalStore) -> None:
    await store.put("k", bytes(BIG))
    tracemalloc.start()
    whole = await store.get("k")
    assert tracemalloc.get_traced_memory()[1] < BIG / 10
    tracemalloc.stop()
    assert whole.readonly
    assert isinstance((await store.get("k", end=BIG // 2 + 1)).obj, bytearray)
    part = await store.get("k", start=1)
    assert part.readonly


async def test_mappings_hold_a_bounded_number_of_descriptors(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "MAX_MAPS", 3)
    await store.put("k", b"x" * BIG)
    views = [await store.get("k") for _ in range(5)]
    assert all(view == b"x" * BIG for view in views)
    assert sum(not isinstance(view.obj, bytearray) for view in views) == 3


async def test_no_descriptor_is_left_open(store: LocalStore) -> None:
    await store.put_many((f"k/{number}", b"1") for number in range(200))
    before = len([*Path("/dev/fd").iterdir()])
    async for _ in store.get_many(f"k/{number}" for number in range(200)):
        pass
    for key in ["absent", "k"]:
        with pytest.raises(ObjectNotFound):
            await store.get(key)
    with pytest.raises(StorageError):
        await store.get("k/0", start=99)
    with pytest.raises(StorageError):
        await store.put("k/0/x", b"")
    assert len([*Path("/dev/fd").iterdir()]) == before


async def test_a_cancelled_write_touches_its_data_no_more(store: LocalStore, root: Path) -> None:
    await store.put("k", b"old")
    for steps in range(1, 40, 3):
        data = bytearray(b"1" * 30_000_000)
        task = asyncio.create_task(store.put("k", data))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        # A thread that still held the buffer would make this a BufferError.
        data.extend(b"2")
        content = await store.get("k")
        assert bytes(content[:3]) in {b"old", b"111"}
        assert len(content) in {3, 30_000_000}
    assert files_below(root) == ["k"]


async def test_a_write_that_is_cancelled_twice(store: LocalStore, root: Path) -> None:
    data = bytearray(b"1" * 30_000_000)
    task = asyncio.create_task(store.put("k", data))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    data.extend(b"2")
    assert files_below(root) in ([], ["k"])


async def test_a_directory_that_is_not_ours(store: LocalStore, root: Path) -> None:
    root.mkdir(mode=0o500)
    with _somebody_else(), pytest.raises(StorageError, match="permissions"):
        await store.put("k", b"")


@contextlib.contextmanager
def _somebody_else() -> Generator[None, None, None]:
    """Give up root's rights for a while, if we have them: root may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_file_where_the_root_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot write object 'k'"):
        await store.put("k", b"")
    assert await keys_of(store) == []


async def test_old_leftovers_are_swept(store: LocalStore, root: Path) -> None:
    await store.put("a/k", b"1")
    old, new = root / "a" / "\x7f0123456789abcdef", root / "a" / "\x7f0123456789abcdee"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert await keys_of(store) == ["a/k"]
    assert not old.exists()
    assert new.exists()


def test_it_travels_by_its_root(store: LocalStore) -> None:
    copy = pickle.loads(pickle.dumps(store))
    assert copy.url == store.url
    with pytest.raises(StorageError, match="not a temporary store"):
        store.remove()


async def test_a_temporary_store_is_private_and_removed() -> None:
    store = LocalStore.temporary()
    assert "not made yet" in repr(store)
    root = Path(store.root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert store.ephemeral
    assert store.shared
    other = open_store(store.url)
    await other.put("k", b"1")
    assert not other.ephemeral
    assert bytes(await store.get("k")) == b"1"
    copy = pickle.loads(pickle.dumps(store))
    del copy
    gc.collect()
    assert root.exists()
    await store.aclose()
    assert not root.exists()
    with pytest.raises(StorageError, match="has been removed"):
        await store.put("k", b"1")
    await store.aclose()


def test_an_unused_temporary_store_makes_no_directory() -> None:
    LocalStore.temporary().remove()


async def test_a_dropped_temporary_store_is_removed() -> None:
    store = LocalStore.temporary()
    await store.put("k", b"1")
    root = Path(store.root)
    del store
    gc.collect()
    assert not root.exists()


async def test_loops_in_several_threads(store: LocalStore) -> None:
    def use(number: int) -> None:
        async def main() -> None:
            await store.put_many((f"{number}/{item}", b"1") for item in range(100))
            assert len(await keys_of(store, f"{number}/")) == 100

        asyncio.run(main())

    await asyncio.gather(*(asyncio.to_thread(use, number) for number in range(4)))
    assert len(await keys_of(store)) == 400


@pytest.mark.skipif(sys.platform != "linux", reason="names of macOS must be UTF-8")
async def test_the_whole_disk_may_be_a_store(root: Path) -> None:
    await LocalStore(root).put("a/k", b"1")
    disk = open_store("file:///")
    assert disk.url == "file:///"
    prefix = str(root)[1:] + "/"
    assert await keys_of(disk, prefix) == [prefix + "a/k"]
    assert bytes(await disk.get(prefix + "a/k")) == b"1"
