"""The S3 store against two emulators. Faults, owners and throttling: test_s3_faults."""

from collections.abc import AsyncIterator

import pytest

from asyncfabric_storage import ObjectStore
from asyncfabric_storage._s3 import S3Store
from tests.cloud.fixtures import Bucket

from .conformance import StoreConformance


@pytest.fixture
async def store(bucket: Bucket) -> AsyncIterator[ObjectStore]:
    store = S3Store(bucket.name, endpoint_url=bucket.cloud.url, region="us-east-1")
    yield store
    await store.aclose()


class TestS3Store(StoreConformance):
    pass
