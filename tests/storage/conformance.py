"""What every object store must do, whatever it is built upon.

A new store passes the suite by a subclass that makes an empty one:

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self) -> ObjectStore:
            return MyStore()
"""

import asyncio
from array import array
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from asyncfabric_storage import (
    MAX_KEY_BYTES,
    ConfigurationError,
    ObjectInfo,
    ObjectNotFound,
    ObjectStore,
    StorageError,
    open_store,
)

from .conformance_many import ManyConformance

if TYPE_CHECKING:
    from typing_extensions import Buffer

ODD_KEYS = [
    "a",
    "#1",
    "x#1",
    "y#1/z#2",
    "100%",
    "%2e%2e/%2e%2e/up",
    "..hidden/...",
    ".hidden",
    "a b",
    " lead and trail ",
    "back\\slash",
    "..\\up",
    "C:drive",
    "question?x=1&y=2",
    "*<>|\"'`$~!",
    "CON",
    "con.txt",
    "ends with dot.",
    "e\u0301",
    "日本/語",
    "\U0001f600",
    "\u00a0\u2028\u200b\ufeff",
    "L" * 255,
    "L" * 256,
    "日" * 341,
    "x" + "日" * 300,
    "xy" + "日" * 300,
    "é" * 512,
    "x" + "\U0001f600" * 255,
    "L" * MAX_KEY_BYTES,
    "/".join(["d"] * 512),
    "/".join(["L" * 300] * 3),
]

BAD_KEYS = [
    "",
    "/",
    "/lead",
    "trail/",
    "a//b",
    ".",
    "..",
    "../up",
    "a/..",
    "a/../b",
    "a/./b",
    "nul\0",
    "line\n",
    "\x1b[0m",
    "\x7f",
    "\x85",
    "lone\ud800",
    "\ufffe",
    "L" * (MAX_KEY_BYTES + 1),
    "日" * 342,
]


def short(key: str) -> str:
    """Return a name for a test with this key."""
    return f"{len(key)}:{key[:12]!a}"


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key async for info in store.list(prefix)]


class StoreConformance(ManyConformance):
    """The suite; the fixture `store` gives a new and empty store."""

    async def test_what_was_put_is_got(self, store: ObjectStore) -> None:
        await store.put("a/b", b"hello")
        data = await store.get("a/b")
        assert bytes(data) == b"hello"
        assert isinstance(data, memoryview)
        assert data.readonly
        assert (data.ndim, data.format, data.contiguous) == (1, "B", True)

    async def test_put_replaces(self, store: ObjectStore) -> None:
        await store.put("k", b"a long first version")
        await store.put("k", b"v2")
        assert bytes(await store.get("k")) == b"v2"
        await store.put("k", b"")
        assert bytes(await store.get("k")) == b""

    async def test_a_view_outlives_its_object(self, store: ObjectStore) -> None:
        size = 3 * 1024 * 1024
        await store.put("k", b"1" * size)
        await store.put("small", b"1")
        big, small = await store.get("k"), await store.get("small")
        await store.put("k", b"2" * size)
        await store.delete("small")
        assert bytes(big) == b"1" * size
        assert bytes(small) == b"1"

    async def test_the_store_keeps_its_own_copy(self, store: ObjectStore) -> None:
        data = bytearray(b"before")
        await store.put("k", data)
        await store.put_if_absent("n", data)
        data[:] = b"after!"
        assert bytes(await store.get("k")) == bytes(await store.get("n")) == b"before"

    @pytest.mark.parametrize("size", [0, 1, 2**20 - 1, 2**20, 2**20 + 1, 20_000_000])
    async def test_sizes(self, store: ObjectStore, size: int) -> None:
        data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
        await store.put("k", data)
        assert await store.get("k") == data
        assert (await store.head("k")).size == size

    async def test_pieces_are_written_one_after_another(self, store: ObjectStore) -> None:
        numbers = array("d", [1.0, 2.5])
        pieces: list[Buffer] = [b"ab", bytearray(b"c"), memoryview(b"xdex")[1:3], b"", numbers]
        expected = b"abcde" + numbers.tobytes()
        await store.put("put", pieces)
        assert await store.put_if_absent("new", tuple(pieces))
        assert bytes(await store.get("put")) == bytes(await store.get("new")) == expected
        await store.put("every second", memoryview(b"a-b-c")[::2])
        assert bytes(await store.get("every second")) == b"abc"
        await store.put("many", [b"%04d" % number for number in range(3000)])
        assert bytes(await store.get("many", start=4 * 2999)) == b"2999"
        await store.put("none", [])
        assert bytes(await store.get("none")) == b""

    @pytest.mark.parametrize("data", ["text", 3, None, [1, 2], ["text"]])
    async def test_what_is_not_bytes_is_refused(self, store: ObjectStore, data: object) -> None:
        with pytest.raises(TypeError, match="a store holds bytes"):
            await store.put("k", data)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert await keys_of(store) == []

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (0, 4, b"0123"),
            (3, 5, b"34"),
            (8, 99, b"89"),
            (10, None, b""),
            (10, 12, b""),
            (4, 4, b""),
            (0, 0, b""),
        ],
    )
    async def test_ranges(
        self, store: ObjectStore, start: int, end: int | None, expected: bytes
    ) -> None:
        await store.put("k", b"0123456789")
        part = await store.get("k", start=start, end=end)
        assert bytes(part) == expected
        assert part.readonly

    async def test_a_range_of_a_large_object(self, store: ObjectStore) -> None:
        data = bytes(range(256)) * 20_000
        await store.put("k", data)
        for start, end in [(0, 2_000_000), (1_234_567, 4_000_001), (5_119_999, None)]:
            assert await store.get("k", start=start, end=end) == data[start:end]

    async def test_a_range_beyond_the_object_is_an_error(self, store: ObjectStore) -> None:
        await store.put("k", b"0123456789")
        with pytest.raises(StorageError, match="only 10 bytes") as caught:
            await store.get("k", start=11)
        assert not isinstance(caught.value, ObjectNotFound)
        with pytest.raises(ObjectNotFound):
            await store.get("absent", start=0, end=0)

    @pytest.mark.parametrize(("start", "end"), [(-1, None), (0, -1), (3, 2)])
    async def test_a_senseless_range_is_refused(
        self, store: ObjectStore, start: int, end: int | None
    ) -> None:
        await store.put("k", b"0123456789")
        with pytest.raises(ConfigurationError, match="range"):
            await store.get("k", start=start, end=end)

    async def test_absent_objects(self, store: ObjectStore) -> None:
        await store.put("dir/k", b"")
        for key in ["absent", "absent/k", "dir", "dir/k2"]:
            with pytest.raises(ObjectNotFound, match=repr(key)):
                await store.get(key)
            with pytest.raises(FileNotFoundError):
                await store.head(key)
            await store.delete(key)
        assert await keys_of(store) == ["dir/k"]

    async def test_put_if_absent(self, store: ObjectStore) -> None:
        assert await store.put_if_absent("a/k", b"first") is True
        assert await store.put_if_absent("a/k", b"second") is False
        assert bytes(await store.get("a/k")) == b"first"
        await store.delete("a/k")
        assert await store.put_if_absent("a/k", b"third") is True
        await store.put("b", b"put")
        assert await store.put_if_absent("b", b"late") is False
        assert bytes(await store.get("b")) == b"put"

    async def test_one_of_many_creates_an_object(self, store: ObjectStore) -> None:
        created = await asyncio.gather(
            *(store.put_if_absent("race", b"%d" % number) for number in range(100))
        )
        assert created.count(True) == 1
        assert int(bytes(await store.get("race"))) == created.index(True)

    async def test_head(self, store: ObjectStore) -> None:
        before = datetime.now(UTC)
        await store.put("a/k", b"12345")
        info = await store.head("a/k")
        assert info == ObjectInfo("a/k", 5, info.modified)
        assert abs(info.modified - before) < timedelta(hours=1)
        assert [info] == [listed async for listed in store.list()]

    async def test_delete(self, store: ObjectStore) -> None:
        await store.put("a/b/c", b"1")
        await store.put("a/b/d", b"1")
        await store.delete("a/b/c")
        await store.delete("a/b/c")
        assert await keys_of(store) == ["a/b/d"]
        with pytest.raises(ObjectNotFound):
            await store.get("a/b/c")

    async def test_what_is_deleted_leaves_no_name_behind(self, store: ObjectStore) -> None:
        await store.put("a/b/c", b"1")
        await store.delete("a/b/c")
        await store.put("a", b"2")
        await store.delete("a")
        assert await store.put_if_absent("a/b", b"3")
        assert await keys_of(store) == ["a/b"]

    async def test_list_is_in_order_of_keys(self, store: ObjectStore) -> None:
        keys = ["a-", "a/b", "a/b-c/d", "a/b.txt", "a0", "b", "B", "é", "a/é/x", "z/y/x/w"]
        keys += ["m" * 300, "m" * 260 + "a", "m" * 240 + "/x", "m" * 240 + "a", "m" * 300 + "/y"]
        for key in keys:
            try:
                await store.put(key, b"")
            except StorageError:
                keys.remove(key)
        assert await keys_of(store) == sorted(keys)

    async def test_a_prefix_is_matched_as_a_string(self, store: ObjectStore) -> None:
        keys = ["a/b/1", "a/b/2", "a/bc", "a/c", "b", "long" * 100 + "/x", "long" * 100 + "y"]
        for key in keys:
            await store.put(key, b"")
        prefixes = ["", "a", "a/", "a/b", "a/b/", "a/b/1", "c", "a/b/1/", "a/.", "b/", "long", "l"]
        prefixes += ["long" * 90, "long" * 100, "long" * 100 + "/", "long" * 100 + "/x"]
        for prefix in prefixes:
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert await keys_of(store, prefix) == expected, prefix

    @pytest.mark.parametrize("prefix", ["/", "a//", "../", "a/./b", "\0", "x" * 1025])
    async def test_an_impossible_prefix_is_refused(self, store: ObjectStore, prefix: str) -> None:
        with pytest.raises(ConfigurationError, match="key prefix"):
            await keys_of(store, prefix)

    async def test_objects_may_be_deleted_while_they_are_listed(self, store: ObjectStore) -> None:
        for number in range(50):
            await store.put(f"d/{number}", b"")
        async for info in store.list("d/"):
            await store.delete(info.key)
        assert await keys_of(store) == []

    @pytest.mark.parametrize("key", ODD_KEYS, ids=short)
    async def test_odd_keys_round_trip(self, store: ObjectStore, key: str) -> None:
        assert await store.put_if_absent(key, key.encode())
        assert not await store.put_if_absent(key, b"")
        await store.put(key, key.encode())
        assert bytes(await store.get(key)) == key.encode()
        assert (await store.head(key)).key == key
        assert await keys_of(store) == await keys_of(store, key) == [key]
        await store.delete(key)
        assert await keys_of(store) == []

    async def test_odd_keys_are_different_keys(self, store: ObjectStore) -> None:
        keys = [key for key in ODD_KEYS if key != "a"]
        assert await store.put_many((key, key.encode()) for key in keys) == len(keys)
        assert await keys_of(store) == sorted(keys)
        async for key, data in store.get_many(keys):
            assert bytes(data) == key.encode()

    @pytest.mark.parametrize("key", BAD_KEYS, ids=short)
    async def test_bad_keys_are_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(ConfigurationError, match="object key"):
            await store.get(key)
        with pytest.raises(ConfigurationError, match="object key"):
            await store.put(key, b"")
        with pytest.raises(ConfigurationError, match="object key"):
            await store.put_if_absent(key, b"")
        with pytest.raises(ConfigurationError, match="object key"):
            await store.head(key)
        with pytest.raises(ConfigurationError, match="object key"):
            await store.delete(key)
        assert await keys_of(store) == []

    async def test_an_object_and_a_prefix_of_the_same_name(self, store: ObjectStore) -> None:
        # S3 can, a directory tree cannot; one that cannot says so and harms nothing.
        await store.put("a", b"1")
        await store.put("x/y/z", b"2")
        for key in ["a/b", "x", "x/y"]:
            try:
                await store.put(key, b"3")
                assert bytes(await store.get(key)) == b"3"
                await store.delete(key)
            except StorageError as error:
                assert repr(key) in str(error)  # noqa: PT017
                with pytest.raises(StorageError, match="another key"):
                    await store.put_if_absent(key, b"3")
        assert await keys_of(store) == ["a", "x/y/z"]
        assert bytes(await store.get("a")) == b"1"

    async def test_readers_never_see_a_mixture(self, store: ObjectStore) -> None:
        size = 200_000
        await store.put("k", b"0" * size)
        stop = asyncio.Event()

        async def read() -> int:
            reads = 0
            while not stop.is_set() or not reads:
                data = bytes(await store.get("k"))
                assert len(data) == size
                assert data == data[:1] * size
                reads += 1
                await asyncio.sleep(0)
            return reads

        readers = [asyncio.create_task(read()) for _ in range(4)]
        for number in range(100):
            await store.put("k", [b"%d" % (number % 10) * (size // 2)] * 2)
            await asyncio.sleep(0)
        stop.set()
        assert all(await asyncio.gather(*readers))

    async def test_its_url_opens_the_same_store(self, store: ObjectStore) -> None:
        await store.put("k", b"1")
        other = open_store(store.url)
        assert bytes(await other.get("k")) == b"1"
        assert other.url == store.url
        assert open_store(store) is store

    async def test_it_is_an_object_store(self, store: ObjectStore) -> None:
        assert isinstance(store, ObjectStore)
        assert isinstance(store.shared, bool)
        assert isinstance(store.ephemeral, bool)
        assert store.url in repr(store) or store.ephemeral

    async def test_closing_twice_is_fine(self, store: ObjectStore) -> None:
        await store.put("k", b"1")
        await store.aclose()
        await store.aclose()
