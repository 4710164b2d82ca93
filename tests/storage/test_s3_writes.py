"""Writes to S3 when answers get lost: who has won, what is repeated, what is copied."""

import asyncio

import pytest

from asyncfabric_storage import StorageError, _s3_writes
from asyncfabric_storage._s3 import S3Store
from asyncfabric_storage._s3_bodies import Parts, body_of
from asyncfabric_storage._s3_writes import PART, bounded

from .s3_fixtures import _credentials, service, store
from .s3_service import Fault, Object, Request, Service

__all__ = ["_credentials", "service", "store"]


def plan(service: Service, method: str, *faults: Fault) -> None:
    """The first requests of this kind meet these faults."""
    left = list(faults)

    def fault(request: Request) -> Fault:
        return left.pop(0) if left and request.method == method else None

    service.fault = fault


@pytest.mark.parametrize("fault", ["lose answer", (500, "InternalError")])
@pytest.mark.parametrize("times", [1, 2])
async def test_ones_own_write_is_a_win_though_its_answer_got_lost(
    service: Service, store: S3Store, fault: Fault, times: int
) -> None:
    if isinstance(fault, tuple):  # this one is done, and reported as failed
        service.before = lambda request: done(service, request)
    faults: list[Fault] = [fault] * times
    plan(service, "PUT", *faults)
    assert await store.put_if_absent("k", b"mine") is True
    assert service.objects["pre/k"].data == b"mine"
    assert service.count("PUT") == times + 1
    assert service.count("HEAD") == 1


def done(service: Service, request: Request) -> None:
    if request.method == "PUT":
        service._put(request)


async def test_anothers_write_is_none_of_ones_own(service: Service, store: S3Store) -> None:
    def other(request: Request) -> Fault:
        service.objects.setdefault("pre/k", Object(b"other", {}))
        return "lose request" if service.count("PUT") == 1 else None

    service.fault = other
    assert await store.put_if_absent("k", b"mine") is False
    assert service.objects["pre/k"].data == b"other"


async def test_what_was_lost_and_deleted_is_written_again(service: Service, store: S3Store) -> None:
    plan(service, "PUT", "lose answer")

    def before(request: Request) -> None:
        if request.method == "HEAD":
            service.objects.clear()

    service.before = before
    assert await store.put_if_absent("k", b"mine") is True
    assert service.objects["pre/k"].data == b"mine"
    assert service.count("PUT") == 3


async def test_a_plain_loss_takes_one_request(service: Service, store: S3Store) -> None:
    assert await store.put_if_absent("k", b"1")
    assert not await store.put_if_absent("k", b"2")
    assert [request.method for request in service.requests] == ["PUT", "PUT"]


async def test_a_write_that_never_arrived_is_repeated(service: Service, store: S3Store) -> None:
    plan(service, "PUT", "lose request", "lose request")
    await store.put("k", b"1")
    plan(service, "DELETE", "lose answer")
    await store.delete("k")
    assert (service.count("PUT"), service.count("DELETE")) == (3, 2)
    assert service.objects == {}


async def test_conflicts_are_repeated(service: Service, store: S3Store) -> None:
    plan(service, "PUT", *[(409, "ConditionalRequestConflict")] * 3)
    assert await store.put_if_absent("k", b"1") is True
    assert service.count("PUT") == 4


async def test_a_part_that_fails_is_repeated_alone(service: Service, store: S3Store) -> None:
    failed: list[str] = []

    def fault(request: Request) -> Fault:
        if request.query.get("partNumber") == "2" and not failed:
            failed.append(request.name)
            return 500, "InternalError"
        return None

    service.fault = fault
    data = bytes(range(256)) * (2 * PART // 256 + 1)
    await store.put("large", data)
    parts = [each.query["partNumber"] for each in service.requests if "partNumber" in each.query]
    assert sorted(parts) == ["1", "2", "2", "3"]
    assert service.objects["pre/large"].data == data
    assert service.uploads == {}


async def test_parts_grow_with_the_object(
    service: Service, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few requests for a large object; S3 wants no part below 5 MiB but the last one."""
    monkeypatch.setattr(_s3_writes, "PART", 2**10)
    monkeypatch.setattr(_s3_writes, "LARGEST_PART", 2**12)
    for size, parts in ((2**14, 16), (2**15, 16), (2**16, 16), (2**17, 32)):
        service.requests.clear()
        await store.put("large", bytes(size))
        assert sum("partNumber" in each.query for each in service.requests) == parts


async def test_an_upload_within_a_limit(service: Service, store: S3Store) -> None:
    """In parts that are as small as S3 takes them, where there is no room for larger ones."""
    pieces = [bytes([number]) * 99_991 for number in range(200)]
    for memory, parts in ((1, 4), (35 * 2**20, 4), (2**30, 2)):
        service.requests.clear()
        await store.put_within("large", pieces, memory)
        assert sum("partNumber" in each.query for each in service.requests) == parts
        assert service.objects["pre/large"].data == b"".join(pieces)


@pytest.mark.parametrize("size", [2**25, 2**29, 2**34, 2**42])
@pytest.mark.parametrize("memory", [1, 2**24, 2**26, 2**28, 2**34])
def test_parts_that_are_in_memory_fit_in_it(size: int, memory: int) -> None:
    part, at_once = bounded(size, memory)
    assert (at_once + 3) * part <= memory or at_once == 1
    assert max(5 * 2**20, size / 10_000) <= part
    assert part <= max(memory / 7, 5 * 2**20, size / 10_000 + 1)


async def test_an_upload_that_fails_is_taken_back(service: Service, store: S3Store) -> None:
    service.fault = lambda request: (403, "AccessDenied") if "partNumber" in request.query else None
    with pytest.raises(StorageError, match="access denied"):
        await store.put("large", bytes(PART + 1))
    assert service.objects == {}
    assert service.uploads == {}


@pytest.mark.parametrize("size", [1000, PART + 1000])
async def test_a_cancelled_write_leaves_its_data_alone(
    service: Service, store: S3Store, size: int
) -> None:
    service.hold, arrived = asyncio.Event(), asyncio.Event()
    service.fault = lambda _: arrived.set()
    data = bytearray(size)
    writing = asyncio.create_task(store.put("k", data))
    await arrived.wait()
    writing.cancel()
    await asyncio.wait([writing])
    data.extend(b"more")  # impossible while a view of it lives
    service.hold.set()
    assert "pre/k" not in service.objects or service.objects["pre/k"].data == bytes(size)


async def test_bytes_are_uploaded_uncopied_and_others_copied() -> None:
    text = b"abcdefgh"
    body = body_of([memoryview(text)[2:5]])
    assert isinstance(body, memoryview)
    assert body.obj is text
    assert isinstance(body_of([memoryview(bytearray(text))]), bytes)
    assert body_of([memoryview(text), memoryview(b"ij")]) == b"abcdefghij"
    assert body_of([]) == b""


def test_parts_are_of_equal_size() -> None:
    pieces = [memoryview(piece) for piece in (b"abc", b"", b"defghij", bytearray(b"k"))]
    assert [bytes(part) for part in Parts(pieces, 4)] == [b"abcd", b"efgh", b"ijk"]
    parts = Parts(pieces, 4)
    next(parts)
    parts.close()
    with pytest.raises(RuntimeError, match="given up"):
        next(parts)


async def test_more_than_one_request_can_take_is_not_created(store: S3Store) -> None:
    piece = memoryview(bytes(2**20))
    with pytest.raises(StorageError, match="one conditional write"):
        await store.put_if_absent("k", [piece] * (5 * 1024 + 1))


async def test_probe(service: Service, store: S3Store) -> None:
    await store.probe()
    assert service.objects == {}
    service.conditional = False
    with pytest.raises(StorageError, match=f"{service.url}.*conditional writes"):
        await store.probe()
    assert service.objects == {}
    assert {each.name.rpartition("/")[0] for each in service.requests} == {"pre/.probe"}
