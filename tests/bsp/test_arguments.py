"""Arguments that make no sense: told at the call, in words, before any worker has run."""

import gzip
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp._sizes import parse_size
from asyncfabric_storage import MemoryStore
from tests.bsp import work
from tests.bsp.test_chunks import chunks_of

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("output", [5, b"s3://bucket/x", Path("/tmp"), "/tmp"])
async def test_outputs_that_are_no_urls(output: Any) -> None:
    async with af.Fabric("inline://") as fabric:
        shuffle: Any = bsp.shuffle
        with pytest.raises(af.ConfigurationError, match="is no URL; give for example"):
            shuffle(fabric, work.given, [], work.kept, partitions=1, output=output)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("ftp://there", "unknown storage scheme"),
        ("s3://", "name of a bucket"),
        ("file://here", "names a host"),
        ("memory://", "other processes and can't see memory://"),
    ],
)
async def test_outputs_that_workers_can_not_write_to(output: str, message: str) -> None:
    """Known before the first item is mapped."""
    async with af.Fabric("local://?processes=1") as fabric:
        with pytest.raises(af.ConfigurationError, match=message):
            await bsp.shuffle(fabric, work.fails, [1], work.kept, partitions=1, output=output)
        with pytest.raises(af.ConfigurationError, match=message):
            await bsp.sort_by(fabric, work.fails, [1], partitions=1, output=output)


@pytest.mark.parametrize("destination", [None, b"file:///x", "memory://", "Memory://"])
async def test_destinations_that_make_no_sense(destination: Any) -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(af.ConfigurationError, match="no URL of a place that lasts"):
            await bsp.sort(fabric, "memory://", destination)


async def test_a_destination_that_workers_can_not_see() -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        store = MemoryStore()
        with pytest.raises(af.ConfigurationError, match="can't see memory://"):
            await bsp.sort(fabric, "memory://", store.url)


async def test_what_is_no_fabric() -> None:
    async with af.Fabric("inline://") as closed:
        pass
    for fabric, error, message in (
        (work.given, TypeError, "first argument has to be a Fabric"),
        (closed, RuntimeError, "this Fabric is closed"),
    ):
        given: Any = fabric
        with pytest.raises(error, match=message):
            _ = bsp.shuffle(given, work.given, [], work.kept, partitions=1)
        with pytest.raises(error, match=message):
            _ = bsp.sort_by(given, work.given, [], partitions=1)
        with pytest.raises(error, match=message):
            await bsp.sort(given, "memory://", "memory://")
        with pytest.raises(error, match=message):
            await bsp.validate(given, "memory://")
    with pytest.raises(RuntimeError, match="this Fabric is closed"):
        await closed.map_reduce(work.square, [], work.added)


@pytest.mark.parametrize("source", [None, 5, b"file:///x", [None]])
async def test_sources_that_are_no_urls(source: Any) -> None:
    with pytest.raises(af.ConfigurationError, match=r"is no URL; give chunks\(\) 's3"):
        await bsp.chunks(source)


async def test_a_path_as_a_source(tmp_path: Path) -> None:
    path: Any = tmp_path
    with pytest.raises(af.ConfigurationError, match=rf"give chunks\(\) '{tmp_path.as_uri()}'"):
        await bsp.chunks(path)


async def test_sizes_of_hundreds_of_digits() -> None:
    with pytest.raises(af.ConfigurationError, match="is no size"):
        parse_size("memory", "9" * 400 + "GB")


async def test_values_that_are_none() -> None:
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(TypeError, match="nothing has to give values, and it returned None"):
            await bsp.sort_by(fabric, work.nothing, [1], partitions=1)
        with pytest.raises(TypeError, match="nothing has to give values, and it returned None"):
            await bsp.sort_by(fabric, work.nothing, [1], partitions=2)


@pytest.mark.parametrize("padding", [1, 512, 100_000])
async def test_gzip_members_with_padding(padding: int) -> None:
    """As `gzip` takes it, also between members; zeros alone are no gzip."""
    member = gzip.compress(b"a\n") + bytes(padding)
    [chunk] = await chunks_of({"padded.gz": member + member})
    assert await chunk.aread() == b"a\na\n"
    [chunk] = await chunks_of({"zeros.gz": bytes(padding)})
    with pytest.raises(af.StorageError, match=r"can't be read as \.gz"):
        await chunk.aread()


async def test_a_url_in_the_place_of_items() -> None:
    shuffle: Any = bsp.shuffle
    async with af.Fabric("inline://") as fabric:
        with pytest.raises(TypeError, match=r"give af\.bsp\.chunks\('file:///data'\)"):
            shuffle(fabric, work.given, "file:///data", work.kept, partitions=1)


async def test_a_forgotten_await() -> None:
    shuffle: Any = bsp.shuffle
    async with af.Fabric("inline://") as fabric:
        with pytest.warns(RuntimeWarning, match="a Shuffle was never awaited or iterated"):
            shuffle(fabric, work.given, [], work.kept, partitions=1)
