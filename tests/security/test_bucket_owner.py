"""`?owner=` of an S3 store: no request of a durable job touches a bucket of somebody else's."""

import pytest

from asyncfabric import StorageError
from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._job import open_job
from asyncfabric.jobs._listing import discard
from asyncfabric_storage import ObjectNotFound
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._s3 import S3Store
from tests.jobs.programs import KEY, attempt, opened, run_call, subject, wanted
from tests.storage.s3_fixtures import _credentials, service
from tests.storage.s3_service import BUCKET, OWNER, Service

__all__ = ["_credentials", "service"]
HEADER = "x-amz-expected-bucket-owner"


def _store(service: Service, owner: str) -> S3Store:
    return S3Store(BUCKET, "pre", region="us-east-1", endpoint_url=service.url, owner=owner)


async def test_a_job_names_the_owner_in_all_it_does(service: Service) -> None:
    """But for listings, whose headers can't be signed: a request that names it comes first."""
    store = _store(service, OWNER)
    try:
        job = await opened(store)
        await run_call(store, attempt(job, 0, 0), b"small")
        await run_call(store, attempt(job, 1, 1), b"x" * (INLINE_BYTES + 1))
        assert bytes(await store.get("jobs/names/prices", start=0, end=10))
        again = await open_job(store, KEY, wanted())
        await again.result(0, subject(0))
        await discard(store, "prices")
        await collect(store)
    finally:
        await store.aclose()
    done = {each.method for each in service.requests}
    assert {"GET", "PUT", "DELETE"} <= done
    for number, each in enumerate(service.requests):
        is_list = each.method == "GET" and not each.name
        assert (each.headers.get(HEADER) == OWNER) is not is_list
        if is_list:
            assert any(before.headers.get(HEADER) for before in service.requests[:number])
    assert any("range" in each.headers for each in service.requests)


async def test_a_bucket_of_another_account_is_refused(service: Service) -> None:
    """Nothing is written to it, and nothing is read from it."""
    theirs = _store(service, "999999999999")
    try:
        with pytest.raises(StorageError, match="does not belong to account 999999999999"):
            await opened(theirs)
        for work in (
            theirs.get("jobs/names/prices", start=0, end=10),
            theirs.put_if_absent("k", b"v"),
            theirs.put("k", b"v"),
            theirs.delete("k"),
        ):
            with pytest.raises(StorageError) as caught:
                await work
            assert not isinstance(caught.value, ObjectNotFound)
        with pytest.raises(StorageError):
            _ = [each async for each in theirs.list("jobs/")]
    finally:
        await theirs.aclose()
    assert service.objects == {}
    lists = [each for each in service.requests if each.method == "GET" and not each.name]
    assert lists == []  # it was asked whose it is before
