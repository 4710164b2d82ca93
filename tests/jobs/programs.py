"""What tests of jobs have in common: a key, programs to run as jobs, little drivers and workers."""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from asyncfabric.jobs._job import Job, Wanted, open_job
from asyncfabric.jobs._keys import MasterKey
from asyncfabric.jobs._manifest import Code, Terms
from asyncfabric.shipping._fingerprints import Fingerprints
from asyncfabric.shipping._identity import Identity
from asyncfabric_storage import ObjectInfo, ObjectStore, digest
from asyncfabric_storage._commits import Attempt, Commit, commit

KEY = MasterKey(b"k" * 32)
OTHER_KEY = MasterKey(b"o" * 32)
FUNCTION = b"the packed function"


def wanted(
    name: str = "prices",
    *,
    code: bytes = FUNCTION,
    parts: dict[str, str] | None = None,
    **terms: Any,
) -> Wanted:
    """A program that wants to run as a job."""
    identity = Identity({"function price: its code": digest(code)} if parts is None else parts)
    return Wanted(
        name,
        Terms(identity, "3.11")._replace(**terms),
        Code(digest(code)),
        {digest(code): code},
        "0.1.0",
    )


async def opened(store: ObjectStore, name: str = "prices", **terms: Any) -> Job:
    return await open_job(store, KEY, wanted(name, **terms))


def subject(value: object) -> bytes:
    return Fingerprints().of(value)


def attempt(
    job: Job, index: int, value: object, *, number: int = 1, nonce: bytes = b"n"
) -> Attempt:
    """An attempt at an input; the same `nonce` and number make the same attempt."""
    return job.attempt(index, number, hashlib.sha256(nonce).digest()[:16], subject(value))


async def run_call(store: ObjectStore, tried: Attempt, payload: bytes = b"result") -> Commit:
    """What a worker does with an attempt, once the function has returned."""
    return await commit(store, tried, "pickle", payload)


async def run_all(
    store: ObjectStore, job: Job, inputs: Sequence[Any], of: Callable[[Any], bytes]
) -> None:
    """Drive a job to its end, workers included."""
    await job.inputs.add([subject(each) for each in inputs])
    for index, each in enumerate(inputs):
        if index not in job.done:
            await run_call(store, attempt(job, index, each), of(each))
    failed = 0
    for index, each in enumerate(inputs):
        found = await job.result(index, subject(each))
        failed += found.failed is not None
    await job.finish(await job.inputs.end(), failed)


async def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key async for info in store.list(prefix)]


async def objects_of(store: ObjectStore) -> dict[str, bytes]:
    return {key: bytes(await store.get(key)) for key in await keys_of(store)}


class Counting(ObjectStore):
    """A store that counts what is asked of it: what S3 would send a bill for."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner
        self.puts: list[str] = []
        self.gets: list[str] = []
        self.lists: list[str] = []

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def shared(self) -> bool:
        return self.inner.shared

    @property
    def ephemeral(self) -> bool:
        return self.inner.ephemeral

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        self.gets.append(key)
        return await self.inner.get(key, start=start, end=end)

    async def put(self, key: str, data: Any) -> None:
        self.puts.append(key)
        await self.inner.put(key, data)

    async def put_if_absent(self, key: str, data: Any) -> bool:
        self.puts.append(key)
        return await self.inner.put_if_absent(key, data)

    async def head(self, key: str) -> ObjectInfo:
        self.gets.append(key)
        return await self.inner.head(key)

    async def delete(self, key: str) -> None:
        await self.inner.delete(key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        self.lists.append(prefix)
        async for info in self.inner.list(prefix):
            yield info

    async def aclose(self) -> None:
        await self.inner.aclose()
