"""What goes wrong with S3 for good: one clear error, soon, that says what to do."""

import asyncio
import socket
from pathlib import Path

import pytest

from asyncfabric_storage import ConfigurationError, FabricError, ObjectNotFound, StorageError
from asyncfabric_storage._errors import AccessDenied
from asyncfabric_storage._s3 import S3Store

from .conformance import keys_of
from .s3_fixtures import _credentials, service, store
from .s3_service import BUCKET, OWNER, Service, error

__all__ = ["_credentials", "service", "store"]


async def everything(store: S3Store) -> list[FabricError]:
    """Return what each operation raises."""
    operations = [
        store.get("k"),
        store.get("k", start=3, end=3),
        store.put("k", b""),
        store.put_if_absent("k", b""),
        store.head("k"),
        store.delete("k"),
        keys_of(store),
        store.probe(),
    ]
    raised: list[FabricError] = []
    for operation in operations:
        with pytest.raises(FabricError) as caught:
            await operation
        raised.append(caught.value)
    return raised


@pytest.mark.parametrize(
    ("status", "code", "kind", "advice"),
    [
        (404, "NoSuchBucket", ConfigurationError, "no such bucket; create it"),
        (403, "AccessDenied", AccessDenied, "does not belong to account 123456789012.*s3:GetObj"),
        (403, "SignatureDoesNotMatch", ConfigurationError, "AWS_SECRET_ACCESS_KEY"),
        (403, "InvalidAccessKeyId", ConfigurationError, "check AWS_ACCESS_KEY_ID"),
        (403, "RequestTimeTooSkewed", StorageError, "clock of this machine"),
        (400, "ExpiredToken", StorageError, "credentials have expired; log in again"),
        (301, "PermanentRedirect", ConfigurationError, "not in region us-east-1; add its own"),
        (400, "AuthorizationHeaderMalformed", ConfigurationError, "not in region us-east-1"),
        (501, "NotImplemented", StorageError, "check endpoint_url"),
        (405, "", StorageError, "check endpoint_url"),
    ],
)
async def test_a_hopeless_request_is_one_clear_error(
    service: Service, store: S3Store, status: int, code: str, kind: type[FabricError], advice: str
) -> None:
    service.fault = lambda _: (status, code)
    for raised in await everything(store):
        assert type(raised) is kind
        assert f"s3://{BUCKET} at {service.url} failed: " in str(raised)
        assert raised.__cause__
        with pytest.raises(kind, match=advice):
            raise raised
    # Once each, and once more where S3 does not say why (HEAD).
    assert len(service.requests) <= 16


async def test_the_right_region_is_told(service: Service, store: S3Store) -> None:
    malformed = error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")
    service._do = lambda request: malformed  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match=r"add region=eu-west-1 to the s3:// URL"):
        await store.get("k")


async def test_someone_elses_bucket(service: Service) -> None:
    """Every operation is refused, listings included, whose requests can't name the owner."""
    store = S3Store(BUCKET, endpoint_url=service.url, owner="999999999999")
    for raised in await everything(store):
        assert type(raised) is AccessDenied
        assert "does not belong to account 999999999999" in str(raised)
    await store.aclose()
    assert service.objects == {}
    assert not any("list-type" in request.query for request in service.requests)


@pytest.mark.parametrize("owner", ["any", None])
async def test_nobody_asks_for_the_owner(service: Service, owner: str | None) -> None:
    store = S3Store(BUCKET, endpoint_url=service.url, owner=owner)
    await store.put("k", b"")
    assert await keys_of(store) == ["k"]
    await store.aclose()
    assert not any("x-amz-expected-bucket-owner" in each.headers for each in service.requests)
    assert len(service.requests) == 2


async def test_every_request_names_the_owner(service: Service, store: S3Store) -> None:
    await store.put("k", b"1")
    await store.put("large", bytes(20_000_000))
    await store.put_if_absent("k", b"1")
    await store.get("k")
    await store.head("k")
    await store.delete("k")
    for request in service.requests:
        assert request.headers["x-amz-expected-bucket-owner"] == OWNER
        assert "x-amz-expected-bucket-owner" in request.signed


async def test_absence_is_no_missing_bucket(service: Service, store: S3Store) -> None:
    for _ in range(2):
        with pytest.raises(ObjectNotFound, match="no object 'k' in s3://bucket/pre"):
            await store.head("k")
    # The first time the store sees for itself that the bucket is there.
    assert [request.method for request in service.requests] == ["HEAD", "GET", "HEAD"]


async def test_an_endpoint_that_is_not_there(unused_port: int) -> None:
    store = S3Store(BUCKET, endpoint_url=f"http://127.0.0.1:{unused_port}")
    with pytest.raises(StorageError, match="can't be reached; check endpoint_url"):
        await store.put_if_absent("k", b"")
    await store.aclose()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


async def test_a_service_that_always_fails(service: Service, store: S3Store) -> None:
    service.fault = lambda _: (500, "InternalError")
    with pytest.raises(StorageError, match="does not recover; try again later"):
        await store.put("k", b"")
    assert len(service.requests) == 6


async def test_no_credentials(
    service: Service, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{unused_port}")
    store = S3Store(BUCKET, endpoint_url=service.url)
    with pytest.raises(ConfigurationError, match=r"no AWS credentials.*AWS_ACCESS_KEY_ID"):
        await store.get("k")
    await store.aclose()
    assert service.requests == []


async def test_a_certificate_authority_that_is_no_file(
    service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "absent.pem"))
    store = S3Store(BUCKET, endpoint_url=service.url)
    with pytest.raises(ConfigurationError, match=r"AWS_CA_BUNDLE.*absent\.pem"):
        await store.open()


class Credentials:
    """A provider whose keys are numbered."""

    def __init__(self, expires: float | None = None) -> None:
        self.given = 0
        self.expires = expires

    async def __call__(self) -> tuple[str, str, str | None, float | None]:
        await asyncio.sleep(0)
        self.given += 1
        return f"key{self.given}", "secret", f"token{self.given}", self.expires


def key_of(service: Service, number: int) -> str:
    return service.requests[number].headers["authorization"].split("Credential=")[1].split("/")[0]


async def test_credentials_are_asked_for_once(service: Service) -> None:
    credentials = Credentials()
    store = S3Store(BUCKET, endpoint_url=service.url, credentials=credentials)
    await asyncio.gather(*(store.put(f"{number}", b"") for number in range(50)))
    assert bytes(await store.get("7")) == b""
    await store.aclose()
    assert {key_of(service, number) for number in range(51)} == {"key1"}
    assert service.requests[0].headers["x-amz-security-token"] == "token1"
    assert "x-amz-security-token" in service.requests[0].signed


async def test_credentials_about_to_expire_are_replaced(service: Service) -> None:
    credentials = Credentials(expires=0)
    store = S3Store(BUCKET, endpoint_url=service.url, credentials=credentials)
    await store.put("a", b"")
    credentials.expires = None
    for _ in range(3):
        await store.put("b", b"")
    await store.aclose()
    assert [key_of(service, number) for number in range(4)] == ["key1", "key2", "key2", "key2"]


async def test_refused_credentials_are_replaced_in_the_middle_of_a_run(service: Service) -> None:
    credentials = Credentials()
    store = S3Store(BUCKET, endpoint_url=service.url, credentials=credentials)
    await store.put("k", b"1")
    service.fault = lambda request: (
        (400, "ExpiredToken")
        if "/key1/" in request.headers["authorization"]
        or "=key1/" in request.headers["authorization"]
        else None
    )
    await asyncio.gather(*(store.get("k") for _ in range(20)), store.put("l", b"2"))
    await store.aclose()
    assert credentials.given == 2


async def test_an_error_of_the_provider_is_raised_as_it_is(service: Service) -> None:
    async def credentials() -> tuple[str, str, str | None, float | None]:
        await asyncio.sleep(0)
        raise ConfigurationError("the single sign-on has ended; run aws sso login")

    store = S3Store(BUCKET, endpoint_url=service.url, credentials=credentials)
    for raised in await everything(store):
        assert str(raised) == "the single sign-on has ended; run aws sso login"
    await store.aclose()
    assert service.requests == []
