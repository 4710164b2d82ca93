"""Reads and listings of S3: how many requests they take, and what they survive."""

import asyncio
from itertools import count

import pytest

from asyncfabric_storage import ObjectNotFound, StorageError, _s3_reads
from asyncfabric_storage._s3 import S3Store
from asyncfabric_storage._s3_reads import PART, PARTS_AT_ONCE

from .conformance import keys_of
from .s3_fixtures import _credentials, service, store
from .s3_service import BUCKET, Fault, Object, Request, Service

__all__ = ["_credentials", "service", "store"]


def methods(service: Service) -> str:
    return " ".join(request.method for request in service.requests)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, None, b"0123456789"),
        (3, None, b"3456789"),
        (0, 4, b"0123"),
        (8, 99, b"89"),
        (10, None, b""),
        (10, 12, b""),
    ],
)
@pytest.mark.parametrize("ranges", [True, False])
async def test_a_range_is_one_request(
    service: Service, store: S3Store, start: int, end: int | None, expected: bytes, ranges: bool
) -> None:
    service.ranges = ranges
    service.objects["pre/k"] = Object(b"0123456789", {})
    assert bytes(await store.get("k", start=start, end=end)) == expected
    # A service that does not know ranges is asked again for everything.
    assert methods(service) == "GET" if ranges else "GET GET"


async def test_an_empty_object_is_one_request(service: Service, store: S3Store) -> None:
    service.objects["pre/k"] = Object(b"", {})
    assert bytes(await store.get("k")) == b""
    assert methods(service) == "GET"


async def test_an_absent_object_is_one_request(service: Service, store: S3Store) -> None:
    with pytest.raises(ObjectNotFound, match="'k'"):
        await store.get("k")
    assert methods(service) == "GET"


async def test_a_range_of_nothing_asks_for_the_size_only(service: Service, store: S3Store) -> None:
    service.objects["pre/k"] = Object(b"012", {})
    assert bytes(await store.get("k", start=3, end=3)) == b""
    with pytest.raises(StorageError, match="only 3 bytes"):
        await store.get("k", start=4, end=4)
    with pytest.raises(StorageError, match="only 3 bytes"):
        await store.get("k", start=4)
    assert methods(service) == "HEAD HEAD GET"


async def test_a_large_object_is_read_in_parts_at_once(
    service: Service, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_s3_reads, "PART", 2**16)
    monkeypatch.setattr(_s3_reads, "LARGEST_PART", 2**18)
    data = b"0123456789abcdef" * (2**16 * 40 // 16) + b"end"
    service.objects["pre/k"] = Object(data, {})
    assert await store.get("k") == data
    assert 2 <= service.peak <= PARTS_AT_ONCE
    # The first one finds out how large it is; the others share the rest.
    assert service.count("GET") == 1 + 16
    assert await store.get("k", start=5, end=2**18) == data[5 : 2**18]
    assert service.count("GET") == 1 + 16 + 1
    assert await store.get("k", start=0, end=2**19) == data[: 2**19]
    assert service.count("GET") == 1 + 16 + 1 + 8
    service.objects["pre/k"] = Object(data * 10, {})
    assert await store.get("k", start=0, end=2**18 * 100) == (data * 10)[: 2**18 * 100]
    assert service.count("GET") == 1 + 16 + 1 + 8 + 100


async def test_an_object_that_is_replaced_meanwhile_is_read_anew(
    service: Service, store: S3Store
) -> None:
    size = 3 * PART
    versions = [Object(bytes([number]) * size, {}) for number in range(2)]
    service.objects["pre/k"] = versions[0]

    def before(request: Request) -> None:
        if service.count("GET") > 1:
            service.objects["pre/k"] = versions[1]

    service.before = before
    assert await store.get("k") == versions[1].data


async def test_an_object_that_is_always_another_one_is_given_up(
    service: Service, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every object seems to be behind a proxy that changes ETags."""
    monkeypatch.setattr(_s3_reads, "PART", 2**10)
    monkeypatch.setattr(_s3_reads, "LARGEST_PART", 2**10)
    numbers = count()

    def before(_: Request) -> None:
        service.objects["pre/k"] = Object(f"{next(numbers)}".encode().rjust(2**12), {})

    service.before = before
    with pytest.raises(StorageError, match=r"'k' was another object .* 10 times; write under new"):
        await store.get("k")


async def test_an_object_that_shrinks_meanwhile_is_read_anew(
    service: Service, store: S3Store
) -> None:
    service.objects["pre/k"] = Object(bytes(3 * PART), {})

    def before(request: Request) -> None:
        if service.count("GET") > 1:
            service.objects["pre/k"] = Object(b"small", {})

    service.before = before
    assert bytes(await store.get("k")) == b"small"


@pytest.mark.parametrize("fault", ["lose request", "lose answer", (500, "InternalError")])
async def test_reads_are_repeated(service: Service, store: S3Store, fault: Fault) -> None:
    service.objects["pre/k"] = Object(b"1", {})
    service.fault = lambda _: fault if len(service.requests) % 2 else None
    assert bytes(await store.get("k")) == b"1"
    assert (await store.head("k")).size == 1
    assert await keys_of(store) == ["k"]
    assert methods(service).split()[:4] == ["GET", "GET", "HEAD", "HEAD"]


async def test_a_reply_that_breaks_off_is_repeated(service: Service, store: S3Store) -> None:
    """The headers have come, and part of the body."""
    broken = asyncio.Event()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b"whole" if broken.is_set() else b"wh"
        broken.set()
        head = 'HTTP/1.1 206 OK\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/5\r\nETag: "e"\r\n'
        writer.write(f"{head}Last-Modified: Wed, 21 Oct 2026 07:28:00 GMT\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        other = S3Store(BUCKET, endpoint_url=url)
        assert bytes(await other.get("k")) == b"whole"
        await other.aclose()


async def test_a_listing_takes_a_request_a_page(service: Service, store: S3Store) -> None:
    keys = [f"d/{number:04}" for number in range(2500)]
    service.objects.update((f"pre/{key}", Object(b"", {})) for key in keys)
    service.objects.update({"pr": Object(b"", {}), "prf": Object(b"", {}), "z": Object(b"", {})})
    assert await keys_of(store) == keys
    pages = [request for request in service.requests if "list-type" in request.query]
    assert len(pages) == 3
    assert {request.query["prefix"] for request in pages} == {"pre/"}


async def test_a_listing_begins_and_ends_near_its_prefix(service: Service, store: S3Store) -> None:
    service.objects.update((f"pre/d/{number:05}", Object(b"", {})) for number in range(9000))
    service.requests.clear()
    assert await keys_of(store, "d/0800") == [f"d/{number:05}" for number in range(8000, 8010)]
    assert await keys_of(store, "d/00") == [f"d/{number:05}" for number in range(1000)]
    assert len([each for each in service.requests if each.query.get("list-type")]) <= 3


@pytest.mark.parametrize("prefix", ["a0", "a/", "a", "a1b", "a!", "aé"])
async def test_a_listing_misses_nothing_near_its_beginning(
    service: Service, store: S3Store, prefix: str
) -> None:
    keys = ["a", "a!", "a!b", "a-", "a.", "a./x", "a/b", "a0", "a00", "a1", "a1a", "a1b", "a1b/c"]
    keys += ["aè", "aé", "aé/b", "b"]
    service.objects.update((f"pre/{key}", Object(b"", {})) for key in keys)
    assert await keys_of(store, prefix) == sorted(key for key in keys if key.startswith(prefix))


async def test_a_listing_goes_on_where_it_was_interrupted(service: Service, store: S3Store) -> None:
    keys = [f"{number:04}" for number in range(2500)]
    service.objects.update((f"pre/{key}", Object(b"", {})) for key in keys)
    service.fault = lambda _: (503, "SlowDown") if len(service.requests) % 2 == 0 else None
    assert await keys_of(store) == keys


async def test_names_that_are_no_keys_spoil_a_listing_and_it_says_so(
    service: Service, store: S3Store
) -> None:
    service.objects["pre/a//b"] = Object(b"", {})
    with pytest.raises(StorageError, match=r'prefix of its own.*"pre/a//b"'):
        await keys_of(store)
