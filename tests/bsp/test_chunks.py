"""Chunks against a plain read: every record in exactly one of them, whole and in order."""

import gzip
import pickle
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric_runtime._bsp import _boundaries, _fetch, _reading
from asyncfabric_storage import MemoryStore, ObjectNotFound, StorageError, open_store
from tests.bsp.counting import CountingStore
from tests.cloud.fixtures import Bucket

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little data has many blocks."""
    monkeypatch.setattr(_fetch, "LARGEST_BYTES", 7)
    monkeypatch.setattr(_reading, "AHEAD_BYTES", 28)
    monkeypatch.setattr(_boundaries, "PROBE_BYTES", 5)
    monkeypatch.setattr(_boundaries, "LONGEST_PROBE_BYTES", 11)


def plain_records(data: bytes, delimiter: bytes) -> list[bytes]:
    """What a plain read of one object makes of it."""
    records = data.split(delimiter)
    return records if records[-1] else records[:-1]


async def chunks_of(objects: dict[str, bytes], **options: Any) -> list[bsp.Chunk]:
    store = MemoryStore()
    KEPT.append(store)
    await store.put_many(objects.items())
    return await bsp.chunks(store.url, **options)


KEPT: list[MemoryStore] = []
"""A memory store lives as long as somebody has it."""

LINES = st.lists(st.sampled_from([b"", b"a", b"bc\r", b"d" * 9, b"e" * 40]), max_size=12)
CONTENT = st.tuples(LINES, st.booleans()).map(
    lambda drawn: b"".join(line + b"\n" for line in drawn[0])[: None if drawn[1] else -1]
)


@settings(max_examples=300, deadline=None)
@given(objects=st.lists(CONTENT, max_size=5), size=st.integers(1, 60))
async def test_every_line_is_in_one_chunk(objects: list[bytes], size: int) -> None:
    small = {f"object/{number}": data for number, data in enumerate(objects)}
    if not small:
        return
    chunks = await chunks_of(small, size=size)
    expected = [line.removesuffix(b"\r") for data in objects for line in plain_records(data, b"\n")]
    assert [line for chunk in chunks async for line in chunk.records()] == expected
    assert [line.encode() for chunk in chunks async for line in chunk.lines()] == expected
    if len(small) == 1:
        assert b"".join([await chunk.aread() for chunk in chunks]) == objects[0]


@settings(max_examples=400, deadline=None)
@given(
    data=st.text("ab;", max_size=60).map(str.encode),
    delimiter=st.sampled_from([b"a", b";", b"ab", b"aa", b"aba", b"aaa", b"abab", b";;"]),
    size=st.integers(1, 30),
)
async def test_any_delimiter_even_one_that_overlaps_itself(
    data: bytes, delimiter: bytes, size: int
) -> None:
    chunks = await chunks_of({"x": data}, size=size, records=delimiter)
    found = [record for chunk in chunks async for record in chunk.records()]
    assert found == plain_records(data, delimiter)


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=4),
    width=st.integers(1, 9),
    size=st.integers(1, 50),
)
async def test_records_of_one_width(counts: list[int], width: int, size: int) -> None:
    objects = {f"{n}": bytes(range(count * width)) for n, count in enumerate(counts)}
    chunks = await chunks_of(objects, size=size, records=width)
    data = b"".join(objects.values())
    expected = [data[at : at + width] for at in range(0, len(data), width)]
    assert [record for chunk in chunks async for record in chunk.records()] == expected
    assert all(chunk.size % width == 0 for chunk in chunks)


async def test_an_object_whose_size_is_no_multiple_of_the_records() -> None:
    with pytest.raises(af.ConfigurationError, match=r"x in .* has 11 bytes.*records=10"):
        await chunks_of({"x": bytes(11)}, records=10)


@pytest.mark.parametrize("size", [1, 64, 1000, 10**9])
async def test_thousands_of_small_objects_are_packed(size: int) -> None:
    objects = {f"{number:05}": b"%d\n" % number for number in range(2000)}
    chunks = await chunks_of(objects, size=size)
    assert all(chunk.size <= max(size, 5) for chunk in chunks)
    total = sum(map(len, objects.values()))
    assert len(chunks) <= 2 * total / size + 1 or size == 1
    found = [int(line) for chunk in chunks async for line in chunk.lines()]
    assert found == list(range(2000))


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".zst", zstd.compress), (".GZ", gzip.compress)],
)
async def test_compressed_objects_stay_whole(
    suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    lines = [b"line %d" % number for number in range(3000)]
    halves = b"\n".join(lines[:1500]) + b"\n", b"\n".join(lines[1500:])
    data = compress(halves[0]) + compress(b"") + compress(halves[1])
    chunks = await chunks_of({f"log{suffix}": data, "rest": b"plain"}, size=50)
    assert [len(chunk.pieces) for chunk in chunks] == [1, 1]
    found = [line for chunk in chunks async for line in chunk.records()]
    assert found == [*lines, b"plain"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("damage", ["cut", "other"])
async def test_a_damaged_object_is_told_by_name(suffix: str, damage: str) -> None:
    compress = gzip.compress if suffix == ".gz" else zstd.compress
    data = compress(bytes(100_000))[:-5] if damage == "cut" else b"something else"
    [chunk] = await chunks_of({f"a{suffix}": data})
    with pytest.raises(StorageError, match=rf"a\{suffix} in memory.*can't be read as {suffix}"):
        await chunk.aread()


async def test_the_smallest_compressed_object_does_not_fill_the_memory() -> None:
    from asyncfabric_runtime._bsp import _inflate

    [chunk] = await chunks_of({"zeros.gz": gzip.compress(bytes(50_000_000))})
    async with chunk.aopen() as file:
        assert len(await file.read(10)) == 10
        assert len(file._rest) <= _inflate._OUTPUT_BYTES


# in plain functions, and on workers


async def test_the_same_for_plain_functions(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(500)]
    (tmp_path / "a b.txt").write_text("\r\n".join(lines), newline="")
    chunks = await bsp.chunks(tmp_path.as_uri(), size=100)
    assert len(chunks) > 10
    assert [line for chunk in chunks for line in chunk.lines()] == lines
    assert b"".join(chunk.read() for chunk in chunks) == (tmp_path / "a b.txt").read_bytes()
    whole = b""
    for chunk in chunks:
        with chunk.open() as file:
            whole += file.read(3) + file.readline() + file.read()
    assert whole == (tmp_path / "a b.txt").read_bytes()
    for _ in chunks[0].lines():
        break  # leaving early stops the reading
    assert pickle.loads(pickle.dumps(chunks)) == chunks


def count(chunk: bsp.Chunk) -> int:
    """Count its lines."""
    return sum(1 for _ in chunk.lines())


async def count_async(chunk: bsp.Chunk) -> int:
    """Do the same in a coroutine."""
    return len([line async for line in chunk.lines()])


@pytest.mark.parametrize("function", [count, count_async])
@pytest.mark.parametrize("backend", ["local://?processes=2", "inline://"])
async def test_chunks_are_inputs_of_a_map(tmp_path: Path, backend: str, function: Any) -> None:
    for name in "abc":
        (tmp_path / name).write_text("x\n" * 1000)
    async with af.Fabric(backend) as fabric:
        counts = await fabric.map(function, bsp.chunks(tmp_path.as_uri(), size="600B"))
    assert sum(counts) == 3000
    assert len(counts) > 3


# where the data is


OBJECTS = st.lists(st.tuples(CONTENT, st.sampled_from(["", ".gz", ".zst"])), max_size=6)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("cloud", ["ministack"], indirect=True)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(objects=OBJECTS, size=st.integers(1, 60))
async def test_objects_of_a_bucket_against_a_plain_read(
    bucket: Bucket, objects: list[tuple[bytes, str]], size: int
) -> None:
    """Plain ones by ranges, compressed ones whole: on a real S3 service, each under a prefix."""
    address, _, options = bucket.url.partition("?")
    url = f"{address}/{secrets.token_hex(4)}?{options}"
    store = open_store(url)
    compress: dict[str, Callable[[bytes], bytes]]
    compress = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
    try:
        for number, (data, suffix) in enumerate(objects):
            await store.put(f"{number}{suffix}", compress[suffix](data))
        if not objects:
            with pytest.raises(ObjectNotFound):
                await bsp.chunks(url, size=size)
            return
        chunks = await bsp.chunks(url, size=size)
        expected = [
            line.removesuffix(b"\r") for data, _ in objects for line in plain_records(data, b"\n")
        ]
        assert [line for chunk in chunks async for line in chunk.records()] == expected
        by_pieces = [piece for chunk in chunks for piece in chunk.pieces]
        assert all(piece.end - piece.start == piece.size for piece in by_pieces if piece.codec)
    finally:
        await store.aclose()


@pytest.mark.parametrize("cloud", ["ministack"], indirect=True)
async def test_thousands_of_objects_of_a_bucket(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a listing's page, packed into a few chunks, by a plain function in a worker."""
    monkeypatch.undo()  # blocks as they are
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    store = open_store(bucket.url)
    await store.put_many((f"{number:05}", b"%d\n" % number) for number in range(1050))
    await store.aclose()
    async with af.Fabric("local://?processes=2") as fabric:
        chunks = await bsp.chunks(bucket.url, size="1kB")
        assert len(chunks) == 5
        assert sum(await fabric.map(count, chunks)) == 1050


async def test_one_object_by_its_own_url(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"1\n2\n")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "two").write_bytes(b"3")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("one", "link"):
        [chunk] = await bsp.chunks((tmp_path / name).as_uri())
        assert await chunk.aread() == b"1\n2\n"
    urls = [(tmp_path / name).as_uri() for name in ("two", "empty", "one")]
    [chunk] = await bsp.chunks(iter(urls))
    assert await chunk.aread() == b"3\n1\n2\n"
    assert await bsp.chunks([]) == []


async def test_an_object_of_a_bucket(bucket: Bucket) -> None:
    """On a real S3 service: below a prefix, by its own name, and in a list."""
    store = open_store(bucket.url)
    await store.put("data/a.txt", b"1\n2\n3\n")
    await store.put("data/b.txt", b"4\n5")
    address, _, options = bucket.url.partition("?")
    try:
        below = await bsp.chunks(f"{address}/data?{options}", size=4)
        assert [int(line) for chunk in below async for line in chunk.lines()] == [1, 2, 3, 4, 5]
        for source in (f"{address}/data/b.txt?{options}", [f"{address}/data/b.txt?{options}"]):
            [chunk] = await bsp.chunks(source)
            assert await chunk.aread() == b"4\n5"
    finally:
        await store.aclose()


@pytest.mark.parametrize("name", ["nothing", "nothing/at/all"])
async def test_nothing_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ObjectNotFound, match="no objects below file://"):
        await bsp.chunks((tmp_path / name).as_uri())
    with pytest.raises(ObjectNotFound):
        await bsp.chunks([(tmp_path / name).as_uri()])


async def test_an_object_that_was_changed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x\n" * 100)
    chunks = await bsp.chunks(path.as_uri(), size=50)
    path.write_bytes(b"x\n" * 60)
    with pytest.raises(StorageError, match="bytes"):
        [await chunk.aread() for chunk in chunks]
    path.unlink()
    with pytest.raises(ObjectNotFound):
        await chunks[0].aread()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size=0 is no size"),
        ({"size": "many"}, "size='many' is no size"),
        ({"size": "5 elephants"}, "is no size"),
        ({"size": True}, "size=True"),
        ({"records": b""}, "records=b''"),
        ({"records": 0}, "records=0"),
        ({"records": "words"}, "records='words'"),
    ],
)
async def test_arguments_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(af.ConfigurationError, match=message):
        _ = bsp.chunks("memory://", **options)


async def test_sources_that_make_no_sense() -> None:
    for source in ("/tmp", ["relative"], "s4://bucket"):
        with pytest.raises(af.ConfigurationError):
            await bsp.chunks(source)


async def test_text_that_can_not_be_cut_at_line_feeds() -> None:
    [chunk] = await chunks_of({"x": "a\nb\n".encode("utf-16")})
    with pytest.raises(af.ConfigurationError, match="utf-16"):
        chunk.lines("utf-16")
    with pytest.raises(af.ConfigurationError, match="no such encoding"):
        chunk.lines("klingon")
    [chunk] = await chunks_of({"x": b"\xff\n"})
    with pytest.raises(UnicodeDecodeError) as caught:
        [line async for line in chunk.lines()]
    assert "errors='replace'" in "".join(caught.value.__notes__)
    assert [line async for line in chunk.lines(errors="replace")] == ["\ufffd"]
    [chunk] = await chunks_of({"x": b"abc"}, records=3)
    with pytest.raises(af.ConfigurationError, match=r"use.*records\(\)"):
        chunk.lines()


async def test_small_objects_are_read_many_at_once_and_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_reading, "AHEAD_BYTES", 60)
    store = CountingStore()
    await store.put_many((f"{number:03}", b"line\n") for number in range(100))
    [chunk] = await bsp.chunks(store.url)
    assert len([line async for line in chunk.lines()]) == 100
    assert store.count["get"] == 100
    assert store.most_reading > 10


async def test_requests_of_a_cut_object() -> None:
    """A look at each end that is within the object, and the range in blocks."""
    store = CountingStore()
    await store.put("data", b"123\n" * 21)
    first, middle, last = await bsp.chunks(store.url, size=28)
    for chunk, requests in ((first, 1 + 4), (middle, 2 + 4), (last, 1 + 4)):
        store.count.clear()
        assert await chunk.aread() == b"123\n" * 7
        assert store.count["get"] == requests
