"""The same programs on this machine's workers and on Lambda's, with files and on S3, unchanged."""

import operator
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric import bsp
from asyncfabric.bsp import _shuffle
from asyncfabric.testing import LambdaFront
from asyncfabric_storage import open_store
from tests.bsp import work
from tests.bsp.counting import keys_of
from tests.cloud.fixtures import Cloud, make_bucket
from tests.storage.s3_service import OWNER, Request, Service, s3_service

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(120)]

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
WORKERS = 2
TEXTS = [" ".join(f"word{number % count}" for number in range(2000)) for count in (7, 40, 300)]
EXPECTED = Counter(" ".join(TEXTS).split())


@pytest.fixture(params=["local", "lambda"])
async def backend(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The URL of a backend, and credentials for its workers."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    if request.param == "local":
        yield f"local://?processes={WORKERS}"
        return
    async with LambdaFront(environment=CREDENTIALS) as front:
        yield front.backend


@dataclass(frozen=True, slots=True)
class Place:
    """Where data is: the texts, what workers exchange, and results."""

    texts: str
    scratch: str
    results: str


@pytest.fixture(params=["files", "s3"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, ministack_url: str) -> Place:
    """Stores in directories or in a bucket, one of which has the texts."""
    urls = [f"file://{tmp_path}/{name}" for name in ("texts", "scratch", "results")]
    if request.param == "s3":
        address, _, options = make_bucket(Cloud("ministack", ministack_url)).url.partition("?")
        urls = [f"{address}/{name}?{options}" for name in ("texts", "scratch", "results")]
    store = open_store(urls[0])
    for number, text in enumerate(TEXTS):
        await store.put(f"{number}.txt", text.replace(" ", "\n").encode())
    await store.aclose()
    return Place(*urls)


def fabric_on(backend: str, store: str) -> af.Fabric:
    """A Fabric with two workers. It makes no copies of calls: requests are counted."""
    return af.Fabric(backend, storage=store, max_concurrency=WORKERS, hedge=None)


async def left(fabric: af.Fabric) -> list[str]:
    """What workers wrote for one another; code that was sent to them stays."""
    return [key for key in await keys_of(fabric.store) if not key.startswith("objects/")]


@pytest.mark.parametrize("levels", [1, 2])
async def test_word_count(
    backend: str, place: Place, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks, a shuffle on one or two levels, its results in a store, and the next stage."""
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1 if levels > 1 else 10**6)
    async with fabric_on(backend, place.scratch) as fabric:
        chunks = bsp.chunks(place.texts, size="5kB")
        counted = bsp.shuffle(
            fabric,
            work.words_of,
            chunks,
            work.total,
            partitions=9,
            combine=operator.add,
            output=place.results,
        )
        refs = await counted
        assert len(refs) == 9
        assert counted.stats.mappers > 3
        assert await left(fabric) == []
    found = [pair for ref in refs for pair in await ref.get()]
    assert dict(found) == EXPECTED
    assert len(found) == len(EXPECTED)
    async with fabric_on(backend, place.results) as fabric:
        given: Any = refs
        most = await fabric.map_reduce(work.largest, given, max)
        assert most == max((count, word) for word, count in EXPECTED.items())
        assert await left(fabric) == []


async def test_map_reduce(backend: str, place: Place) -> None:
    async with fabric_on(backend, place.scratch) as fabric:
        chunks = bsp.chunks(place.texts, size="5kB")
        for associative in (False, True):
            total = await fabric.map_reduce(
                work.length, chunks, work.added, associative=associative
            )
            assert total == EXPECTED.total()
        assert await left(fabric) == []


# requests


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """An S3 that counts."""
    async with s3_service() as service:
        yield service


def _url(service: Service) -> str:
    return f"s3://bucket/pre?region=us-east-1&endpoint_url={service.url}&owner={OWNER}"


def _ranged(request: Request) -> bool:
    return request.method == "GET" and bool(request.name)


@pytest.mark.parametrize(("mappers", "partitions"), [(6, 4), (5, 40)])
async def test_requests_of_one_level(
    backend: str, service: Service, mappers: int, partitions: int
) -> None:
    """W writes; a read for each mapper and reducer, all of a range; one listing."""
    items = [[(number, 1) for number in range(500)] for _ in range(mappers)]
    async with fabric_on(backend, _url(service)) as fabric:
        warm = [[("a", 1)]]  # code travels with the first calls
        await bsp.shuffle(fabric, work.given, warm, work.kept, partitions=1)
        service.requests.clear()
        parts = await bsp.shuffle(fabric, work.given, items, work.kept, partitions=partitions)
        exchanged = [each for each in service.requests if "/shuffle/" in f"/{each.name}"]
        listed = [each for each in service.requests if not each.name]
    assert sum(map(len, parts)) == 500
    counts = Counter(each.method for each in exchanged)
    reads = [each for each in exchanged if _ranged(each)]
    assert counts["PUT"] == mappers
    assert all("range" in each.headers for each in reads)
    # One task for each partition, or four for each of a few workers; and copies of slow reads.
    tasks = min(partitions, _shuffle.TASKS_A_PLACE * WORKERS)
    least, most = mappers * min(tasks, partitions), mappers * partitions
    assert mappers * tasks <= len(reads) <= min(most, least + max(tasks, least // 20))
    assert counts["DELETE"] == mappers
    assert len(listed) == 1
    assert not any("shuffle" in name for name in service.objects)


async def test_requests_of_two_levels(
    backend: str, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shuffle, "TWO_LEVELS_READS", 1)
    monkeypatch.setattr(_shuffle, "TASKS_A_PLACE", 8)  # 16 tasks for two workers
    width = 16
    items = [[(number, 1) for number in range(width)] for _ in range(width)]
    async with fabric_on(backend, _url(service)) as fabric:
        parts = await bsp.shuffle(
            fabric, work.given, items, work.kept, partitions=width, partition=operator.pos
        )
        exchanged = [each for each in service.requests if "/shuffle/" in f"/{each.name}"]
    assert [[(key, len(values)) for key, values in part] for part in parts] == [
        [(number, width)] for number in range(width)
    ]
    counts: Any = Counter(each.method for each in exchanged)
    assert counts["PUT"] == width + 4 * 4
    # 2 W sqrt(W), and copies of slow reads: one for each of the 32 calls at most.
    assert 2 * width * 4 <= counts["GET"] <= 2 * width * 4 + 32
    assert counts["DELETE"] == width + 4 * 4
