"""Credentials, region and endpoints: where they come from, and what is said when there are none."""

import asyncio
import datetime as dt
import gc
import logging
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.aws import _session
from asyncfabric.aws._sdk import load
from asyncfabric.aws._session import PAUSE, Credentials, Session


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that says nothing of AWS, and files that can."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "TOKENKEY")


async def opened(**options: Any) -> Session:
    session = Session(**options)
    await session.open()
    return session


async def refused(**options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await opened(**options)
    return str(caught.value)


# region


@pytest.mark.usefixtures("keys")
async def test_where_the_region_comes_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_text("[default]\nregion = eu-south-1\n[profile p]\nregion=eu-north-1\n")
    assert (await opened()).region == "eu-south-1"
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert (await opened()).region == "eu-north-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert (await opened()).region == "eu-west-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    assert (await opened()).region == "eu-west-3"
    assert (await opened(region="eu-central-1")).region == "eu-central-1"


@pytest.mark.usefixtures("keys")
async def test_no_region() -> None:
    assert "AWS_REGION" in await refused()
    assert "'eu west 1'" in await refused(region="eu west 1")


# credentials


@pytest.mark.usefixtures("keys")
async def test_credentials_of_the_environment() -> None:
    session = await opened(region="eu-west-1")
    assert session.credentials == Credentials("AKIAKEY", "SECRETKEY", "TOKENKEY", None)


async def test_credentials_of_a_profile(home: Path) -> None:
    (home / "credentials").write_text(
        "[p]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = s\n"
    )
    session = await opened(region="eu-west-1", profile="p")
    assert session.credentials == Credentials("AKIAPROFILE", "s", None, None)


async def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    message = await refused(region="eu-west-1")
    for part in ("no AWS credentials", "aws configure", "aws sso login", "AWS_PROFILE"):
        assert part in message


@pytest.mark.usefixtures("keys")
async def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    message = await refused(region="eu-west-1", profile="nobody")
    assert "nobody" in message
    assert "aws configure --profile nobody" in message
    monkeypatch.setenv("AWS_PROFILE", "noone")
    assert "noone" in await refused(region="eu-west-1")


async def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKEY")
    assert "set both" in await refused(region="eu-west-1")


@pytest.mark.usefixtures("keys")
async def test_keys_with_a_line_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETKEY\nX-Evil: 1")
    message = await refused(region="eu-west-1")
    assert "line break" in message
    assert "SECRETKEY" not in message


async def test_single_sign_on_that_has_ended(home: Path) -> None:
    (home / "config").write_text(
        "[profile sso]\nsso_session = s\nsso_account_id = 123456789012\nsso_role_name = r\n"
        "[sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.com\n"
    )
    message = await refused(region="eu-west-1", profile="sso")
    assert "aws sso login --profile sso" in message


async def test_a_program_that_gives_no_credentials(home: Path) -> None:
    (home / "config").write_text("[default]\ncredential_process = /bin/false\n")
    assert "aws sts get-caller-identity" in await refused(region="eu-west-1")


@pytest.mark.usefixtures("keys")
async def test_keys_are_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="asyncfabric")
    session = await opened(region="eu-west-1")
    shown = repr(session) + repr(session.credentials) + str(session.credentials)
    shown += f"{session.credentials}" + "".join(
        each.getMessage() for each in caplog.records if each.name.startswith("asyncfabric")
    )
    for secret in ("AKIAKEY", "SECRETKEY", "TOKENKEY"):
        assert secret not in shown


async def test_use_before_it_is_open() -> None:
    session = Session(region="eu-west-1")
    assert session.credentials is None
    with pytest.raises(RuntimeError, match="open"):
        _ = session.region
    with pytest.raises(RuntimeError, match="open"):
        await session.refresh()


# renewal


class Frozen(NamedTuple):
    access_key: str
    secret_key: str
    token: str


class Source:
    """Credentials that expire, as the SDK has them."""

    def __init__(self, now: float) -> None:
        self.asked = 0
        self.begun = asyncio.Event()
        self.answer: asyncio.Future[Frozen] | None = None
        self._expiry_time = dt.datetime.fromtimestamp(now + 3600, dt.UTC)

    async def get_frozen_credentials(self) -> Frozen:
        self.asked += 1
        self.begun.set()
        if self.answer is None:
            return Frozen(f"AKIA{self.asked}", "s", "t")
        frozen = await self.answer
        self._expiry_time += dt.timedelta(hours=1)
        return frozen


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_session, "_now", clock)
    return clock


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Source:
    source = Source(clock.now)

    async def get_credentials(_: object) -> Source:
        return source

    monkeypatch.setattr(load("aiobotocore.session").AioSession, "get_credentials", get_credentials)
    return source


async def test_credentials_are_renewed_before_they_expire(source: Source, clock: Clock) -> None:
    session = await opened(region="eu-west-1")
    assert session.credentials is not None
    clock.now += 3600 - 301
    assert session.credentials is not None
    clock.now += 2
    assert session.credentials is None
    source.answer = asyncio.get_running_loop().create_future()
    together = [asyncio.create_task(session.refresh()) for _ in range(5)]
    await asyncio.sleep(0)
    together[0].cancel()  # its own affair
    source.answer.set_result(Frozen("AKIANEW", "s", "t"))
    found = await asyncio.gather(*together[1:])
    assert {each.access_key for each in found} == {"AKIANEW"}
    assert session.credentials == found[0]
    assert source.asked == 2


async def test_an_opening_that_is_cancelled_leaves_nothing_behind(source: Source) -> None:
    source.answer = asyncio.get_running_loop().create_future()
    session = Session(region="eu-west-1")
    opening = asyncio.create_task(session.open())
    await source.begun.wait()
    before = asyncio.all_tasks() - {opening}
    opening.cancel()
    await asyncio.wait([opening])
    assert {each for each in before if not each.done()} == {asyncio.current_task()}
    source.answer = None
    await session.open()
    assert session.credentials is not None


async def test_a_renewal_that_fails_for_nobody_is_no_news(
    source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    session = await opened(region="eu-west-1")
    clock.now += 7200
    source.answer = asyncio.get_running_loop().create_future()
    asked = asyncio.create_task(session.refresh())
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    source.answer.set_exception(load("botocore.exceptions").MetadataRetrievalError(error_msg="?"))
    (renewal,) = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait([renewal])
    del renewal
    session._renewal = None
    gc.collect()
    assert caplog.records == []


async def test_old_credentials_stay_in_use_while_a_renewal_fails(
    source: Source, clock: Clock
) -> None:
    session = await opened(region="eu-west-1")
    old = session.credentials
    assert old is not None
    clock.now += 3600 - 200
    assert session.credentials is None
    source.answer = asyncio.get_running_loop().create_future()
    source.answer.set_exception(load("botocore.exceptions").MetadataRetrievalError(error_msg="?"))
    assert await session.refresh() == old
    assert session.credentials == old  # nobody asks again for a while
    clock.now += PAUSE + 1
    assert session.credentials is None
    clock.now += 200
    with pytest.raises(ConfigurationError, match="MetadataRetrievalError"):
        await session.refresh()
    assert session.credentials is None


async def test_keys_that_were_replaced_in_the_files_are_found(home: Path) -> None:
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\n"
    (home / "credentials").write_text(text.format("AKIAONE"))
    session = await opened(region="eu-west-1")
    (home / "credentials").write_text(text.format("AKIATWO"))
    assert (await session.refresh()).access_key == "AKIATWO"
    assert session.credentials is not None
    assert session.credentials.access_key == "AKIATWO"


async def test_keys_that_are_refused_are_looked_for_again(home: Path) -> None:
    text = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\n"
    (home / "credentials").write_text(text.format("AKIAONE"))
    session = await opened(region="eu-west-1")
    assert not await session.replace()
    async with session.client("lambda") as client:  # one that is open has them too
        for key in ("AKIATWO", "AKIATHREE"):
            (home / "credentials").write_text(text.format(key))
            assert await session.replace()
            signer: Any = client._request_signer
            assert (await signer._credentials.get_frozen_credentials()).access_key == key
            assert not await session.replace()
    (home / "credentials").unlink()
    assert not await session.replace()  # those in hand are better than none


# endpoints


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("region", "service", "url"),
    [
        ("eu-west-1", "lambda", "https://lambda.eu-west-1.amazonaws.com"),
        ("cn-north-1", "lambda", "https://lambda.cn-north-1.amazonaws.com.cn"),
        ("eu-west-1", "s3", "https://s3.eu-west-1.amazonaws.com"),
        ("eu-west-1", "sts", "https://sts.eu-west-1.amazonaws.com"),
    ],
)
async def test_endpoints_of_aws(region: str, service: str, url: str) -> None:
    session = await opened(region=region)
    assert session.endpoint(service) == url
    async with session.client(service) as client:
        assert client.meta.endpoint_url == url


@pytest.mark.usefixtures("keys")
async def test_endpoints_that_are_configured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "config").write_text("[default]\nendpoint_url = http://profile\n")
    assert (await opened(region="eu-west-1")).endpoint("s3") == "http://profile"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://all:1/")
    assert (await opened(region="eu-west-1")).endpoint("lambda") == "http://all:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://one:2")
    session = await opened(region="eu-west-1")
    assert (session.endpoint("lambda"), session.endpoint("s3")) == ("http://one:2", "http://all:1")
    session = await opened(region="eu-west-1", endpoint_url="http://argument:3")
    assert session.endpoint("lambda") == session.endpoint("s3") == "http://argument:3"


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    "url", ["localhost:4566", "ftp://x", "http://", "http://h:x", "http://u:p@h", "http://h/?a=b"]
)
async def test_endpoints_that_make_no_sense(url: str) -> None:
    assert repr(url) in await refused(region="eu-west-1", endpoint_url=url)


@pytest.mark.usefixtures("keys")
async def test_a_second_open_does_nothing_and_a_closed_session_opens_again() -> None:
    session = await opened(region="eu-west-1")
    held = session.credentials
    await session.open()
    assert session.credentials is held
    await session.aclose()
    assert session.credentials is None
    await session.open()
    assert session.credentials == held
