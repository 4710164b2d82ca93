"""The same on S3, as two emulators have it: conditions, ranges of records, listings by prefix."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from asyncfabric import IntegrityError
from asyncfabric.jobs._follow import follow
from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._lease import TakenOver
from asyncfabric.jobs._listing import discard, job_names, summarize
from asyncfabric.jobs._results import read_payload
from asyncfabric_storage import ObjectStore, open_store
from asyncfabric_storage._commits import INLINE_BYTES
from tests.cloud.fixtures import Bucket
from tests.jobs.programs import KEY, attempt, keys_of, opened, run_all, run_call, subject

LARGE = b"x" * (INLINE_BYTES + 1)


@pytest.fixture
async def store(bucket: Bucket) -> AsyncIterator[ObjectStore]:
    store = open_store(bucket.url)
    yield store
    await store.aclose()


async def test_a_job_on_s3(store: ObjectStore) -> None:
    first = await opened(store)
    assert (await run_call(store, attempt(first, 1, 1), LARGE)).verdict == "won"
    assert (await run_call(store, attempt(first, 1, 1, number=2), b"")).verdict == "lost"
    second = await opened(store)
    assert (list(second.done), second.lease.epoch) == ([1], 2)
    with pytest.raises(TakenOver):
        await first.check()
    await run_all(store, second, range(3), lambda value: str(value).encode())
    assert await read_payload(store, second.root, await second.result(1, subject(1))) == LARGE
    seen = await follow(store, KEY, "prices")
    assert await seen.look() == [0, 1, 2]
    assert bytes(await seen.payload(await seen.result(2))) == b"2"
    assert seen.complete
    assert (await summarize(store, KEY, "prices")).finished
    assert (await collect(store, now=datetime.now(UTC) + timedelta(days=2))).leases == 1
    assert await job_names(store) == ["prices"]
    await discard(store, "prices")
    assert await keys_of(store) == []


async def test_an_empty_object_is_no_record(store: ObjectStore) -> None:
    """Which has no bytes that a range could name."""
    await store.put("jobs/names/prices", b"")
    with pytest.raises(IntegrityError, match="no record"):
        await opened(store)
