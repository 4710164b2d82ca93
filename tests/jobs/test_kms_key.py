"""A master key that AWS KMS keeps; moto is KMS."""

import asyncio
import base64
import hashlib
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.request import Request, urlopen

import pytest

import asyncfabric as af
from asyncfabric.jobs._key_file import VARIABLE, find_master_key
from asyncfabric.jobs._kms_key import KmsKey
from tests.api.work import noted
from tests.jobs.durable import ten_times
from tests.shipping.projects import PATH

ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
ARN = f"arn:aws:kms:us-east-1:123456789012:key/{ID}"
ALIAS = "arn:aws:kms:us-east-1:123456789012:alias/jobs"
MAKE = "aws kms create-key --region us-east-1 --key-usage GENERATE_VERIFY_MAC --key-spec HMAC_256"
HMAC = {"KeyUsage": "GENERATE_VERIFY_MAC", "KeySpec": "HMAC_256"}


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


Ask = Callable[..., Any]


@pytest.fixture
def kms(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """`kms("CreateKey", ...)`: ask moto's KMS, to which the environment leads, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", moto_url)

    def ask(operation: str, **arguments: str) -> Any:
        headers = {
            "authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kms/aws4_request",
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": f"TrentService.{operation}",
        }
        with urlopen(Request(moto_url, json.dumps(arguments).encode(), headers)) as answer:
            return json.loads(answer.read() or "null")

    return ask


def made(kms: Ask, **arguments: str) -> str:
    """Make a key; return its ARN."""
    return str(kms("CreateKey", **(arguments or HMAC))["KeyMetadata"]["Arn"])


@pytest.fixture
def arn(kms: Ask, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key, which is the master key."""
    arn = made(kms)
    monkeypatch.setenv(VARIABLE, arn)
    return arn


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What KMS is asked for."""
    messages: list[bytes] = []
    ask: Callable[[KmsKey, bytes], Awaitable[bytes]] = KmsKey._ask

    async def noting(self: KmsKey, message: bytes) -> bytes:
        messages.append(message)
        return await ask(self, message)

    monkeypatch.setattr(KmsKey, "_ask", noting)
    return messages


# what it derives


async def test_every_process_derives_the_same(kms: Ask, arn: str) -> None:
    program = """
import asyncio
from asyncfabric.jobs._key_file import find_master_key
print(asyncio.run(find_master_key().derive(b"x")).hex())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        check=True,
    )
    key = await find_master_key().derive(b"x")
    assert key.hex() == done.stdout.strip()
    # As it was in all releases: else no job of an earlier one can be read.
    message = b"asyncfabric durable jobs 1, kms\0" + hashlib.sha256(b"x").digest()
    texts = {"Message": base64.b64encode(message), "Mac": base64.b64encode(key)}
    asked = {name: text.decode() for name, text in texts.items()}
    assert kms("VerifyMac", KeyId=arn, MacAlgorithm="HMAC_SHA_256", **asked)["MacValid"]


async def test_other_contexts_and_other_keys_give_others(
    kms: Ask, arn: str, asked: list[bytes]
) -> None:
    source, other = find_master_key(), KmsKey(made(kms))
    keys = [
        await each.derive(context)
        for each in (source, other)
        for context in (b"", b"x", b"x" * 5000)
    ]
    assert max(map(len, asked)) <= 4096  # which is what GenerateMac takes; moto takes any
    assert {len(key) for key in keys} == {32}
    assert len(set(keys)) == 6


async def test_an_alias_stands_for_its_key(kms: Ask, arn: str) -> None:
    name = f"alias/jobs-{os.urandom(4).hex()}"
    kms("CreateAlias", AliasName=name, TargetKeyId=arn)
    alias = KmsKey(arn.partition("key/")[0] + name)
    assert await alias.derive(b"x") == await KmsKey(arn).derive(b"x")


async def test_the_same_is_asked_once(arn: str, asked: list[bytes]) -> None:
    source = find_master_key()
    assert await source.derive(b"x") == await source.derive(b"x") != await source.derive(b"y")
    assert len(asked) == 2


# jobs


async def test_a_job_is_begun_resumed_and_attached(
    arn: str, asked: list[bytes], storage: str, directory: str
) -> None:
    bad = os.path.join(directory, "bad")  # noqa: PTH118 - a global of the job's function

    def ten_unless_bad(x: int) -> int:
        if x == 4 and os.path.exists(bad):  # noqa: PTH110 - as above
            raise ValueError("not yet")
        return 10 * x

    open(bad, "x").close()  # noqa: PTH123
    async with af.Fabric("inline://", storage=storage) as fabric:
        with pytest.raises(ValueError, match="not yet"):
            await fabric.map(ten_unless_bad, range(5), job="prices")
    os.remove(bad)  # noqa: PTH107
    assert len(asked) == 1
    async with af.Fabric("inline://", storage=storage) as fabric:
        assert await fabric.map(ten_unless_bad, range(5), job="prices") == [0, 10, 20, 30, 40]
        assert len(asked) == 2
        assert await af.jobs.attach(fabric, "prices") == [0, 10, 20, 30, 40]
    assert (await af.jobs.show(storage, "prices")).finished
    assert len(asked) == 4
    assert len(set(asked)) == 1


async def test_workers_of_other_processes_commit_too(
    arn: str, storage: str, directory: str
) -> None:
    for _ in range(2):
        async with af.Fabric("local://?processes=1", storage=storage, hedge=None) as fabric:
            assert await fabric.map(ten_times(directory), range(3), job="tens") == [0, 10, 20]
    assert noted(directory) == {"0": 1, "1": 1, "2": 1}


async def test_with_another_key_nothing_is_believed(
    kms: Ask, arn: str, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with af.Fabric("inline://", storage=storage) as fabric:
        await fabric.map(abs, range(3), job="prices")
        for other, use in (
            (made(kms), lambda: fabric.map(abs, range(3), job="prices")),
            (made(kms), lambda: af.jobs.attach(fabric, "prices")),
            ("5a" * 32, lambda: af.jobs.show(fabric, "prices")),
        ):
            monkeypatch.setenv(VARIABLE, other)
            with pytest.raises(af.IntegrityError, match=f"another key; set {VARIABLE}"):
                await use()


# what is refused


@pytest.mark.parametrize(
    "text",
    [
        "arn:",
        "alias/jobs-of-ours-and-of-nobody-else-in-the-world",
        ARN.rpartition("/")[0],
        f"{ARN}/x",
        f"{ARN}\n{ARN}",
        ARN.replace("us-east-1", ""),
        ARN.replace("123456789012", "1"),
        ARN.replace(":kms:", ":s3:"),
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:key-AbCdEf",
    ],
)
def test_what_is_no_arn_of_a_key(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(af.ConfigurationError, match="write arn:aws:kms:REGION:ACCOUNT:key/ID"):
        find_master_key()


@pytest.mark.parametrize("text", [f" {ARN}\n", ALIAS, ARN.replace(":aws:", ":aws-us-gov:")])
def test_what_is_one(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert isinstance(find_master_key(), KmsKey)


async def test_a_key_that_is_not_there(kms: Ask) -> None:
    for absent in (ARN, ALIAS):
        with pytest.raises(af.ConfigurationError, match=f"{absent} .NotFoundException.*{MAKE}$"):
            await KmsKey(absent).derive(b"x")


async def test_a_key_for_something_else(kms: Ask) -> None:
    source = KmsKey(made(kms, KeyUsage="ENCRYPT_DECRYPT"))
    with pytest.raises(af.ConfigurationError, match=f"InvalidKeyUsageException.*{MAKE}$"):
        await source.derive(b"x")


# what shows


async def test_keys_never_show(arn: str, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK logs the bodies of answers, which are keys."""
    caplog.set_level(logging.DEBUG)
    source = find_master_key()
    key = await source.derive(b"x")
    shown = f"{source} {source!r} {caplog.text}"
    assert "Response body" in shown
    for spelling in (base64.b64encode(key).decode(), key.hex(), repr(key)[2:-1]):
        assert spelling not in shown
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(source)
