# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""A service that is there, and for a while can't be reached, speaks gibberish or wants new keys.

None of it ends a map.
"""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

import asyncfabric as af
from asyncfabric.reporting import Event, InvocationLaunched
from asyncfabric.testing import LambdaFront
from tests.api.until import until
from tests.aws.backend.relay import relay

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = ["thin", "aiobotocore"]


class Launches:
    """Counts invocations that leave."""

    def __init__(self, fabric: af.Fabric) -> None:
        self.count = 0
        fabric._core.observers.append(self)

    def __call__(self, event: Event, /) -> None:
        self.count += isinstance(event, InvocationLaunched)


# nobody there


@pytest.mark.parametrize("transport", KINDS)
async def test_a_service_that_goes_away_is_waited_for(transport: str) -> None:
    """Even calls that must not run twice leave once more: nothing of them was sent."""
    async with LambdaFront() as front:
        port = urlsplit(front.url).port or 0
        backend = f"{front.backend}&transport={transport}"
        fabric = af.Fabric(backend, hedge=None, max_concurrency=3, retry=None, idempotent=False)
        assert await fabric.map(abs, range(4), chunksize=1) == list(range(4))
    async with fabric:
        launches = Launches(fabric)
        done = af.as_completed(fabric.map(abs, range(10), chunksize=1))
        calls: list[Any] = []

        async def read() -> None:
            calls.extend([call async for call in done])

        reading = asyncio.ensure_future(read())
        await until(lambda: launches.count > 6)
        assert not calls
        async with LambdaFront(port=port) as again:
            await reading
            assert again.counters.executions == 10
        assert sorted(call.result() for call in calls) == list(range(10))
        assert all([each.number for each in call.attempts] == [1] for call in calls)


async def test_a_service_that_stays_away_is_given_up() -> None:
    async with LambdaFront() as front:
        impatient = af.Limit(patience=0.2)
        fabric = af.Fabric(front.backend, hedge=None, max_concurrency=3, limit=impatient)
        await fabric.submit(abs, 1)
        url = front.url
    async with fabric:
        with pytest.raises(af.InvocationError, match="no connection to") as caught:
            await fabric.map(abs, range(50), chunksize=1)
        assert url in str(caught.value)


async def test_a_service_that_never_was_is_not_waited_for() -> None:
    """Its address is wrong, most likely."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
    backend = f"lambda://asyncfabric?region=us-east-1&endpoint_url={quote(url, safe='')}"
    async with af.Fabric(backend, hedge=None, max_concurrency=2, retry=af.Retry(base=0)) as fabric:
        launches = Launches(fabric)
        with pytest.raises(af.InvocationError, match="no connection"):
            await fabric.map(abs, range(50), chunksize=1)
        assert launches.count <= 2 * 3


# gibberish


def nonsense(_: bytes) -> bytes:
    """Say what is no HTTP."""
    return b"\x15\x03\x01\x00\x02\x02\x28 what?\r\n\r\n"


def damaged(reply: bytes) -> bytes:
    """Change a byte of the body."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return head + b'\r\n\r\n"!' + body[2:]


def another(reply: bytes) -> bytes:
    """Be a web page."""
    return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 7\r\n\r\n<html/>"


@pytest.mark.parametrize("transport", KINDS)
@pytest.mark.parametrize("spoil", [nonsense, damaged, another])
async def test_a_reply_that_makes_no_sense_is_one_attempts(
    front: LambdaFront, spoil: Any, transport: str
) -> None:
    async with relay(front) as between:
        backend = f"{between.backend}&transport={transport}"
        async with af.Fabric(
            backend, hedge=None, max_concurrency=2, retry=af.Retry(base=0)
        ) as fabric:
            assert await fabric.submit(abs, 0) == 0
            between.spoil_next(spoil, 2)
            done = af.as_completed(fabric.map(abs, range(20), chunksize=1))
            calls = [call async for call in done]
            assert sorted(call.result() for call in calls) == list(range(20))
            assert sum(len(call.attempts) for call in calls) == 22
            # It may have run, so that it isn't run once more where it must not.
            between.spoil_next(spoil)
            requests = between.requests
            with pytest.raises((af.InvocationError, af.ConfigurationError, af.VersionMismatch)):
                await fabric.with_options(idempotent=False).submit(abs, -1)
            assert between.requests - requests == 1


async def test_a_server_that_only_talks_nonsense_is_not_asked_again(front: LambdaFront) -> None:
    async with relay(front) as between:
        between.spoil = nonsense
        async with af.Fabric(between.backend, hedge=None, max_concurrency=2) as fabric:
            with pytest.raises(af.ConfigurationError, match="http or https"):
                await fabric.map(abs, range(50), chunksize=1)
        assert between.requests <= 2


# keys


def expired(code: str) -> bytes:
    """Return Lambda's reply to old keys."""
    body = json.dumps({"message": "The security token included in the request is expired"}).encode()
    return (
        f"HTTP/1.1 403 Forbidden\r\nx-amzn-RequestId: 1234\r\nx-amzn-ErrorType: {code}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Take the keys from a file; return a function that writes other ones."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def write(key: str) -> None:
        text = f"[default]\naws_access_key_id={key}\naws_secret_access_key=s\n"
        (tmp_path / "credentials").write_text(f"{text}aws_session_token=t\n")

    write("AKIAONE")
    return write


@pytest.mark.parametrize("transport", KINDS)
async def test_keys_that_were_replaced_are_found_when_the_old_ones_expire(
    front: LambdaFront, keys: Any, transport: str
) -> None:
    async with relay(front) as between:
        backend = f"{between.backend}&transport={transport}"
        async with af.Fabric(backend, hedge=None, max_concurrency=3, idempotent=False) as fabric:
            assert await fabric.submit(abs, -1) == 1
            good, refused = "AKIAONE", 0

            def refuse(head: str) -> bytes | None:
                nonlocal refused
                if f"Credential={good}/" in head:
                    return None
                refused += 1
                return expired("ExpiredTokenException")

            between.refuse = refuse
            for good in ("AKIATWO", "AKIATHREE"):
                keys(good)
                refused = 0
                done = af.as_completed(fabric.map(abs, range(12), chunksize=1))
                calls = [call async for call in done]
                assert sorted(call.result() for call in calls) == list(range(12))
                assert all([each.number for each in call.attempts] == [1] for call in calls)
                assert 1 <= refused <= 3  # those that were on their way


async def test_keys_that_were_not_replaced_end_the_map(front: LambdaFront, keys: Any) -> None:
    async with relay(front) as between:
        async with af.Fabric(between.backend, hedge=None, max_concurrency=3) as fabric:
            assert await fabric.submit(abs, -1) == 1
            requests = between.requests
            between.refuse = lambda _: expired("ExpiredTokenException")
            with pytest.raises(af.ConfigurationError, match="renew the credentials"):
                await fabric.map(abs, range(50), chunksize=1)
        assert between.requests - requests <= 3
