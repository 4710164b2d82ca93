"""The fixtures `service` and `store`: an S3 that does wrong on demand, and a store in it."""

from collections.abc import AsyncIterator

import pytest

from asyncfabric_storage._s3 import S3Store

from .s3_service import BUCKET, OWNER, Service, s3_service


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with s3_service() as service:
        yield service


@pytest.fixture
async def store(service: Service) -> AsyncIterator[S3Store]:
    store = S3Store(BUCKET, "pre", region="us-east-1", endpoint_url=service.url, owner=OWNER)
    yield store
    await store.aclose()
