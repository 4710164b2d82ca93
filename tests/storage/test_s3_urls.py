"""The address of an S3 store: its URL, and what can't be one."""

import pickle

import pytest

from asyncfabric_storage import ConfigurationError, ObjectStore, open_store
from asyncfabric_storage._s3 import S3Store


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket",
        "s3://bucket/some/prefix",
        "s3://bucket/a%20b%23%3F%25/%C3%A9",
        "s3://my.bucket/p?region=eu-west-1&endpoint_url=http://127.0.0.1:4566&owner=123456789012",
        "s3://bucket?owner=any",
    ],
)
def test_a_url_opens_the_same_store_everywhere(url: str) -> None:
    store = open_store(url)
    assert isinstance(store, S3Store)
    assert store.url == url
    assert (store.shared, store.remote, store.ephemeral) == (True, True, False)
    copy: ObjectStore = pickle.loads(pickle.dumps(store))
    assert copy.url == url


def test_slashes_at_the_ends_of_a_prefix_do_not_matter() -> None:
    assert S3Store("bucket", "/a/b/").url == open_store("s3://bucket/a/b/").url == "s3://bucket/a/b"


def test_the_environment_completes_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the URL says it all: elsewhere the environment may be another."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1/")
    expected = "s3://bucket?region=eu-west-1&endpoint_url=http://127.0.0.1:1"
    assert open_store("s3://bucket").url == expected
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:2")
    expected = "s3://bucket?region=eu-west-2&endpoint_url=http://127.0.0.1:2"
    assert open_store("s3://bucket").url == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("s3://", "can't be the name of a bucket"),
        ("s3:///prefix", "can't be the name of a bucket"),
        ("s3://Bucket", "can't be the name of a bucket"),
        ("s3://my_bucket", "can't be the name of a bucket"),
        ("s3://bucket:80", "can't be the name of a bucket"),
        ("s3://bucket/a//b", "empty, '.' or '..' segment"),
        ("s3://bucket/..", "empty, '.' or '..' segment"),
        ("s3://bucket?profile=x", "unknown option 'profile'.*region, endpoint_url, owner"),
        ("s3://bucket?region=a&region=b", "'region' stands twice"),
        ("s3://bucket?region=", "'region' stands without a value"),
        ("s3://bucket?owner=me", "no account number.*12 digits"),
        ("s3://bucket?endpoint_url=127.0.0.1", "not the address of a service"),
        ("s3://bucket?endpoint_url=http://h/path", "not the address of a service"),
        ("s3://bucket#part", "%23"),
    ],
)
def test_what_can_not_be_an_address(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        open_store(url)


def test_credentials_in_a_url_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="holds no credentials") as caught:
        open_store("s3://AKIAXXXX:hunter2@bucket/prefix")
    assert "hunter2" not in str(caught.value)


async def test_a_key_that_is_too_long_with_the_prefix_is_refused() -> None:
    store = S3Store("bucket", "p" * 100, endpoint_url="http://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="too long with the store's prefix"):
        await store.get("k" * 1000)
