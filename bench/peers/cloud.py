"""What the cloud tables ask of a peer: many invocations, many objects, all on one endpoint."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast

from bench.peers.session import require

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

T = TypeVar("T")
R = TypeVar("R")

FUNCTION = "bench"
"""The name of the function that is invoked; any will do."""

PAYLOAD = b'{"call": "' + b"x" * 138 + b'"}'
"""What a bare invocation sends: 150 bytes of JSON."""


class Target(NamedTuple):
    """Where a peer finds its cloud, and how much it may ask of it at once.

    Attributes:
        url: where functions are.
        objects_url: where objects are: by plain HTTP, as obstore trusts no certificate of ours.
        bucket: the bucket to use.
        region: the region to sign for.
        in_flight: requests at once at most.
        certificate: what to trust; None where `url` is plain HTTP.
    """

    url: str
    objects_url: str
    bucket: str
    region: str
    in_flight: int
    certificate: Path | None = None


class Invoker(Protocol):
    """A peer that is ready to invoke."""

    async def invoke(self, n: int) -> int:
        """Make `n` invocations, `in_flight` at a time; return how many gave the right answer."""
        ...


class Objects(Protocol):
    """A peer that is ready to read and write objects, `in_flight` at a time."""

    async def put(self, keys: Sequence[str], data: bytes) -> None:
        """Write the same bytes under every key."""
        ...

    async def get(self, keys: Sequence[str]) -> int:
        """Read every object; return the bytes read in all."""
        ...


class InvokerAdapter(Protocol):
    """The function that a module for invocations has."""

    def connect(self, way: str, target: Target) -> AbstractAsyncContextManager[Invoker]:
        """Make the peer ready; leaving the context closes its connections."""
        ...


class ObjectsAdapter(Protocol):
    """The function that a module for objects has."""

    def connect(self, way: str, target: Target) -> AbstractAsyncContextManager[Objects]:
        """Make the peer ready; leaving the context closes its connections."""
        ...


INVOKERS = {
    ("asyncfabric", "lambda-map"): "asyncfabric_lambda",
    ("asyncfabric", "transport"): "asyncfabric_transport",
    ("aiobotocore", "invoke"): "aiobotocore_lambda",
    ("aiobotocore", "invoke-tuned"): "aiobotocore_lambda",
    ("aiohttp", "post"): "aiohttp_post",
    ("boto3", "invoke-threads"): "boto3_lambda",
    ("lithops", "lambda-map"): "lithops_lambda",
    ("lithops", "lambda-map-tuned"): "lithops_lambda",
}
OBJECTS = {
    "asyncfabric": "asyncfabric_s3",
    "aiobotocore": "aiobotocore_s3",
    "obstore": "obstore_s3",
    "boto3": "boto3_s3",
    "lithops": "lithops_s3",
}


def load_invoker(peer: str, way: str) -> InvokerAdapter:
    """Import the adapter that invokes, and with it the peer's own package."""
    return cast("InvokerAdapter", require(f"bench.peers.{INVOKERS[peer, way]}"))


def load_objects(peer: str) -> ObjectsAdapter:
    """Import the adapter for objects, and with it the peer's own package."""
    return cast("ObjectsAdapter", require(f"bench.peers.{OBJECTS[peer]}"))


async def pump(work: Callable[[T], Awaitable[R]], items: Iterable[T], in_flight: int) -> list[R]:
    """Await `work` on every item, by as many tasks as may be in flight; results in any order.

    Tasks that take one item after another are the cheapest way to bound what is in flight: a task
    an item and a semaphore cost more.
    """
    pending = iter(items)
    results: list[R] = []

    async def take() -> None:
        for item in pending:
            results.append(await work(item))  # noqa: PERF401 - the iterator is shared

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(take())
    return results


async def pump_threads(work: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """Call `work` on every item in so many threads."""

    def all_of_it() -> list[R]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, items))

    return await asyncio.to_thread(all_of_it)
