"""Fixtures for tests against emulators; tests/conftest.py registers them.

Servers start with the first test that asks, and serve the whole run: a test makes a `bucket` of
its own. Credentials are any, the region is us-east-1.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

import pytest

from .environments import EMULATORS, Emulator, environment
from .servers import request, running

StartMinistack = Callable[..., str]


def make_environments(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make the environments that the collected tests need, outside any test's timeout."""
    wanted = {name for item in items for name in getattr(item, "fixturenames", ())}
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    say = print if reporter is None else reporter.write_line
    for emulator in EMULATORS:
        either = "cloud" in wanted or f"{emulator}_url" in wanted
        if either or (emulator == "ministack" and "start_ministack" in wanted):
            environment(emulator, say=say)


@pytest.fixture(scope="session")
def ministack_url() -> Iterator[str]:
    """The address of ministack."""
    with running("ministack") as url:
        yield url


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The address of moto."""
    with running("moto") as url:
        yield url


@pytest.fixture(scope="session")
def start_ministack() -> Iterator[StartMinistack]:
    """`start_ministack(**environment)`: the address of a ministack with these variables.

    Equal variables give the same server; all end with the run.
    """
    urls: dict[frozenset[tuple[str, str]], str] = {}
    with ExitStack() as stack:

        def start(**extra: str) -> str:
            key = frozenset(extra.items())
            if key not in urls:
                urls[key] = stack.enter_context(running("ministack", extra))
            return urls[key]

        yield start


@dataclass(frozen=True, slots=True)
class Cloud:
    """One emulator."""

    emulator: Emulator
    url: str


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket of an emulator."""

    name: str
    cloud: Cloud

    @property
    def url(self) -> str:
        """The `s3://` URL that opens it."""
        return f"s3://{self.name}?region=us-east-1&endpoint_url={quote(self.cloud.url, safe='')}"


@pytest.fixture(params=EMULATORS)
def cloud(request: pytest.FixtureRequest) -> Cloud:
    """Each emulator in turn.

    `@pytest.mark.parametrize("cloud", ["ministack"], indirect=True)` chooses one.
    """
    emulator: Emulator = request.param
    return Cloud(emulator, request.getfixturevalue(f"{emulator}_url"))


@pytest.fixture
def bucket(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket, and credentials for it in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return make_bucket(cloud)


def make_bucket(cloud: Cloud) -> Bucket:
    """Make a bucket with a random name."""
    name = f"af-{secrets.token_hex(8)}"
    # moto reads the region and the account from the key's scope and checks no signature.
    scope = "test/20260101/us-east-1/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    status, body = request(cloud.url, "PUT", f"/{name}", {"Authorization": authorization})
    assert status == HTTPStatus.OK, body
    return Bucket(name, cloud)
