"""How many requests a store has in flight, and how it gives way."""

import asyncio

import pytest

from asyncfabric_storage import ConfigurationError, StorageError
from asyncfabric_storage._s3 import S3Store
from asyncfabric_storage._s3_flow import Bound
from asyncfabric_storage._s3_writes import PART

from .s3_fixtures import _credentials, service, store
from .s3_service import BUCKET, Fault, Request, Service

__all__ = ["_credentials", "service", "store"]


async def test_thousands_of_requests_share_a_few_connections(service: Service) -> None:
    store = S3Store(BUCKET, endpoint_url=service.url, limit=32)
    await store.put_many(((f"{number}", b"x") for number in range(1000)), concurrency=1000)
    await asyncio.gather(*(store.get(f"{number}") for number in range(1000)))
    await store.aclose()
    assert service.count("PUT") == service.count("GET") == 1000
    assert 16 < service.peak <= 32
    # Reads and writes have clients of their own; some connections are opened in vain.
    assert service.connections < 4 * 32


async def test_large_uploads_count_by_their_parts(service: Service) -> None:
    store = S3Store(BUCKET, endpoint_url=service.url, limit=8)
    data = bytes(PART + 1)
    await asyncio.gather(*(store.put(f"{number}", data) for number in range(6)))
    await store.aclose()
    assert service.peak <= 8
    assert len(service.objects) == 6


@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
async def test_everything_gets_through_when_the_service_gives_way_again(
    service: Service, code: str
) -> None:
    """More than so many at once are refused, so only a bound that shrinks gets through."""
    refused: list[int] = []

    def fault(request: Request) -> Fault:
        if service.in_flight >= 8 and len(refused) < 2000:
            refused.append(service.in_flight)
            return 503, code
        return None

    service.fault = fault
    store = S3Store(BUCKET, endpoint_url=service.url, limit=64)
    written = await store.put_many(((f"{number}", b"x") for number in range(500)), concurrency=500)
    bound = store._flow.bound
    await store.aclose()
    assert written == len(service.objects) == 500
    assert refused
    assert bound.limit < 64
    assert bound.in_flight == 0
    # Without giving way each of 500 would be refused several times.
    assert len(refused) < 500


async def test_throttling_without_end_is_an_error(service: Service) -> None:
    service.fault = lambda _: (503, "SlowDown")
    store = S3Store(BUCKET, endpoint_url=service.url, patience=0.5)
    with pytest.raises(StorageError, match=r"slow down.*503 SlowDown, why, request R1"):
        await store.put("k", b"")
    await store.aclose()
    assert 2 < len(service.requests) < 50


def test_a_bound_is_cut_once_a_generation_and_grows_again() -> None:
    bound = Bound(100)
    numbers = [bound.started() for _ in range(100) if bound.try_enter(1)]
    assert not bound.try_enter(1)
    for number in numbers:
        bound.throttled(number)
    assert bound.limit == 50
    bound.throttled(bound.started())
    assert bound.limit == 25
    for _ in range(25):
        bound.succeeded()
    assert 25.9 < bound.limit < 26
    for _ in range(100_000):
        bound.succeeded()
    assert bound.limit == 100
    for _ in range(20):
        bound.throttled(bound.started())
    assert bound.limit == 1


async def test_a_bound_is_fair() -> None:
    bound = Bound(4)
    order: list[str] = []

    async def hold(name: str, weight: int) -> None:
        await bound.enter(weight)
        order.append(name)

    assert bound.try_enter(3)
    heavy = asyncio.create_task(hold("heavy", 3))
    await asyncio.sleep(0)
    assert not bound.try_enter(1)  # though it would fit: the heavy one was first
    light = asyncio.create_task(hold("light", 1))
    await asyncio.sleep(0)
    bound.leave(3)
    await asyncio.gather(heavy, light)
    assert order == ["heavy", "light"]
    assert bound.in_flight == 4


async def test_whoever_is_cancelled_while_waiting_holds_up_nobody() -> None:
    bound = Bound(1)
    assert bound.try_enter(1)
    waiting = [asyncio.create_task(bound.enter(1)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    bound.leave(1)  # the first in line may be told at the same moment
    await asyncio.sleep(0)
    await asyncio.wait([waiting[0]])
    await waiting[1]
    waiting[2].cancel()
    await asyncio.wait([waiting[2]])
    bound.leave(1)
    assert bound.in_flight == 0
    assert bound.try_enter(1)


async def test_whoever_is_cancelled_when_its_turn_comes_gives_it_back() -> None:
    bound = Bound(1)
    assert bound.try_enter(1)
    waiting = asyncio.create_task(bound.enter(1))
    await asyncio.sleep(0)
    bound.leave(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert bound.in_flight == 0


def test_no_bound_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="limit must be at least 1"):
        S3Store(BUCKET, limit=0)
