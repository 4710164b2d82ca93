"""A master key that AWS KMS keeps, when KMS refuses: played, since moto refuses next to nothing."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.cli import main
from asyncfabric.jobs._key_file import VARIABLE
from asyncfabric.jobs._kms_key import KmsKey
from tests.api.work import noted
from tests.jobs.durable import fails_at

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:us-east-1:123456789012:key/{ID}"
ALIAS = "arn:aws:kms:us-east-1:123456789012:alias/jobs"
MAKE = "aws kms create-key --region us-east-1 --key-usage GENERATE_VERIFY_MAC --key-spec HMAC_256"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@dataclass
class Service:
    """What a service of ours answers, and how often it was asked."""

    status: int = 200
    body: bytes = b"{}"
    asked: int = 0

    def refuse(self, code: str, message: str = "", status: int = 400) -> None:
        self.status = status
        self.body = json.dumps({"__type": code, "message": message}).encode()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """KMS as a test likes it; between attempts nobody waits."""
    service = Service()

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["x-amz-target"] == "TrentService.GenerateMac"
            self.rfile.read(int(self.headers["content-length"]))
            service.asked += 1
            self.send_response(service.status)
            self.send_header("x-amzn-requestid", "request-1")
            self.send_header("content-length", str(len(service.body)))
            self.end_headers()
            self.wfile.write(service.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
            """Say nothing."""

    async def at_once(self: object, seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr("aiobotocore.endpoint.AioEndpoint._sleep", at_once)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


async def refused(source: KmsKey | None = None) -> str:
    with pytest.raises(af.ConfigurationError) as caught:
        await (source or KmsKey(ARN)).derive(b"x")
    message = str(caught.value)
    assert "{" not in message  # which would be a place that nobody filled
    return message


DENIED = f"User: u is not authorized to perform: kms:GenerateMac on resource: {ARN}"


TERMINAL = [
    ("AccessDeniedException", DENIED, f"allow these credentials kms:GenerateMac on {ARN}"),
    ("DisabledException", f"{ARN} is disabled.", f"enable-key --region us-east-1 --key-id {ID}"),
    ("KMSInvalidStateException", f"{ARN} is pending deletion.", "cancel-key-deletion"),
    ("InvalidKeyUsageException", "", MAKE),
    ("NotFoundException", f"Key '{ARN}' does not exist", MAKE),
    ("ExpiredTokenException", "", "renew the credentials"),
    ("UnrecognizedClientException", "", "the region us-east-1 is not enabled"),
    ("MissingAuthenticationTokenException", "", "is that of KMS"),
    ("ValidationException", "", f"describe-key --region us-east-1 --key-id {ARN}"),
]


async def test_what_does_not_pass(service: Service) -> None:
    source = KmsKey(ARN)
    for asked, (code, text, advice) in enumerate(TERMINAL, start=1):
        service.refuse(code, f"{text}\nThe canonical request: x-amz-security-token:TOKEN")
        message = await refused(source)
        assert f"master key {ARN} ({code}{f': {text}' if text else ''})" in message
        assert "request id request-1" in message
        assert advice in message
        assert "TOKEN" not in message
        assert service.asked == asked  # nothing is tried again
    service.status, service.body = (
        200,
        json.dumps({"Mac": base64.b64encode(b"k" * 32).decode()}).encode(),
    )
    assert await source.derive(b"x") == b"k" * 32  # as soon as that is mended


async def test_what_is_said_of_an_alias_names_no_key(service: Service) -> None:
    """Neither IAM nor these commands know keys by their aliases."""
    source = KmsKey(ALIAS)
    for code in ("AccessDeniedException", "DisabledException"):
        service.refuse(code)
        message = await refused(source)
        show = f"aws kms describe-key --region us-east-1 --key-id {ALIAS}"
        assert message.endswith(f"(whose ID this shows: {show})")
        assert "--key-id alias" not in message


async def test_what_may_pass_is_tried_again(service: Service) -> None:
    source = KmsKey(ARN)
    for asked, (status, code, advice) in enumerate(
        [
            (400, "ThrottlingException", "ask for a higher rate"),
            (500, "KMSInternalException", "try again"),
            (500, "KeyUnavailableException", "try again"),
        ],
        start=1,
    ):
        service.refuse(code, status=status)
        assert advice in await refused(source)
        assert service.asked == 3 * asked


async def test_what_is_not_kms(service: Service) -> None:
    source = KmsKey(ARN)
    short = json.dumps({"Mac": base64.b64encode(b"short").decode()}).encode()
    for service.body in (b"{}", b"<html>", b"[]", b'{"Mac": 5}', b'{"Mac": "!"}', short):
        assert "is not KMS: it gave no HMAC" in await refused(source)
    for service.status in (302, 404):
        assert "KMS" in await refused(source)


async def test_no_network(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", "http://127.0.0.1:1")
    message = await refused()
    assert "reaches http://127.0.0.1:1 " in message
    assert "AWS_ENDPOINT_URL_KMS" in message


async def test_no_credentials(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    assert "no AWS credentials were found" in await refused()
    assert service.asked == 0


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiobotocore.session", None)
    assert "pip install 'asyncfabric[aws]'" in await refused()


async def test_a_job_says_so_before_it_runs_anything(
    service: Service, storage: str, directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, ARN)
    service.refuse("AccessDeniedException")
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(af.ConfigurationError, match="kms:GenerateMac"):
            await fabric.map(fails_at(directory), range(3), job="prices")
        assert await af.jobs.list(fabric) == []
    assert noted(directory) == {}


def test_the_list_of_jobs_says_what_is_wrong_with_the_key(
    service: Service,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def begin() -> None:
        async with af.Fabric("inline://", storage=storage) as fabric:
            await fabric.map(abs, range(3), job="prices")

    asyncio.run(begin())
    monkeypatch.setenv(VARIABLE, ARN)
    service.refuse("DisabledException")
    assert main(["jobs", "list", "--long", "--storage", storage]) == 1
    assert "aws kms enable-key" in capsys.readouterr().err
    assert main(["jobs", "list", "--storage", storage]) == 0  # names need no key
    assert main(["jobs", "discard", "prices", "--yes", "--storage", storage]) == 0
