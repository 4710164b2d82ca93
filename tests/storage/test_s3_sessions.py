"""The driver's S3 store: credentials, region and owner from the session."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from asyncfabric._exceptions import ConfigurationError
from asyncfabric.aws._s3 import SessionStore, open_s3_store
from asyncfabric.aws._session import Credentials, Session
from asyncfabric_storage import ObjectNotFound
from asyncfabric_storage._s3 import S3Store
from tests.cloud.fixtures import Bucket

from .s3_fixtures import service
from .s3_service import Service

__all__ = ["service"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


class Identity:
    """A session on AWS itself, without AWS."""

    region = "eu-west-1"

    def __init__(self, endpoint: str = "https://s3.eu-west-1.amazonaws.com") -> None:
        self.at = endpoint
        self.refreshed = self.opened = self.closed = 0
        self.number: str | None = "111122223333"

    async def open(self) -> None:
        self.opened += 1

    async def aclose(self) -> None:
        self.closed += 1

    def endpoint(self, _: str) -> str:
        return self.at

    async def account(self) -> str:
        await asyncio.sleep(0)
        if self.number is None:
            raise ConfigurationError("not accepted; log in")
        return self.number

    @property
    def credentials(self) -> Credentials:
        return Credentials(f"key{self.refreshed}", "secret", None, None)

    async def refresh(self) -> Credentials:
        await asyncio.sleep(0)
        self.refreshed += 1
        return self.credentials


def store_of(url: str, identity: Identity) -> SessionStore:
    return open_s3_store(url, session=cast("Session", identity))


@pytest.mark.parametrize(
    ("asked", "settled"),
    [
        ("", "?region=eu-west-1&owner=111122223333"),
        ("?region=us-west-2", "?region=us-west-2&owner=111122223333"),
        ("?owner=999999999999", "?region=eu-west-1&owner=999999999999"),
        ("?owner=any", "?region=eu-west-1&owner=any"),
        (
            "?endpoint_url=http://127.0.0.1:1",
            "?region=eu-west-1&endpoint_url=http://127.0.0.1:1",
        ),
    ],
)
async def test_the_url_for_workers_names_region_and_owner(asked: str, settled: str) -> None:
    identity = Identity()
    store = store_of(f"s3://bucket/p{asked}", identity)
    assert identity.opened == 0
    await store.open()
    assert store.url == f"s3://bucket/p{settled}"
    await store.aclose()
    assert identity.closed == 0  # somebody else's


async def test_an_endpoint_of_the_profile_is_used() -> None:
    store = store_of("s3://bucket", Identity("http://127.0.0.1:7"))
    await store.open()
    assert store.url == "s3://bucket?region=eu-west-1&endpoint_url=http://127.0.0.1:7"
    await store.aclose()


async def test_an_unknown_account_says_how_to_do_without() -> None:
    identity = Identity()
    identity.number = None
    store = store_of("s3://bucket", identity)
    with pytest.raises(ConfigurationError, match=r"log in; or name it by owner=ACCOUNT.*owner=any"):
        await store.get("k")


async def test_refused_credentials_are_refreshed(service: Service) -> None:
    identity = Identity(service.url)
    store = store_of("s3://bucket", identity)
    await store.put("k", b"1")
    service.fault = lambda request: (
        (400, "ExpiredToken") if "key0" in request.headers["authorization"] else None
    )
    assert bytes(await store.get("k")) == b"1"
    assert identity.refreshed == 1
    await store.aclose()


async def test_a_failing_renewal_is_blamed_for_its_own_requests_only(service: Service) -> None:
    """Reads go on with credentials that are still good, and what they find is the truth."""
    cause = OSError("no route")

    async def ask() -> tuple[str, str, str | None, float | None]:
        if asked:
            raise ConfigurationError("log in") from cause
        asked.append(True)
        return "key", "secret", "token", time.time() + 310

    asked: list[bool] = []
    store = S3Store("bucket", region="us-east-1", endpoint_url=service.url, credentials=ask)
    with pytest.raises(ObjectNotFound):
        await store.get("absent")
    await store.open()
    clients = store._flow.clients
    assert clients is not None
    assert clients._provider is not None
    clients._provider._fresh_until = 0.0
    with pytest.raises(ConfigurationError, match="log in") as caught:
        await store.put("k", b"1")
    assert caught.value.__cause__ is cause
    with pytest.raises(ObjectNotFound):
        await store.get("absent")
    await store.aclose()


@pytest.mark.parametrize("cloud", ["moto"], indirect=True)
async def test_credentials_of_a_profile(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come from a program that the profile names."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    runs = tmp_path / "runs"
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    answer = (
        '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s", "SessionToken": "t", '
        f'"Expiration": "{soon}"}}'
    )
    script = tmp_path / "credentials"
    script.write_text(f"#!/bin/sh\necho run >>{runs}\necho '{answer}'\n", encoding="utf-8")
    script.chmod(0o700)
    config = tmp_path / "config"
    config.write_text(f"[profile p]\nregion=us-east-1\ncredential_process={script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "p")
    store = open_s3_store(f"s3://{bucket.name}?endpoint_url={bucket.cloud.url}")
    await store.put("k", b"1")
    assert runs.exists()
    assert bytes(await store.get("k")) == b"1"
    await store.aclose()
