"""Secrets: the worker reads them, and only their names travel."""

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric._options import Settings
from asyncfabric.aws._session import Session
from asyncfabric_runtime import Plan, _secrets
from asyncfabric_runtime._secrets import SecretError, Secrets, is_reference

VALUE = "s3cr3t-canary-value"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:dsn-AbCdEf"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/my/dsn"


def read(name: str) -> str | None:
    return os.environ.get(name)


async def read_later(name: str) -> str | None:
    return os.environ.get(name)


def fail(name: str) -> None:
    raise RuntimeError(len(os.environ[name]))


@pytest.fixture
def moto(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An account at moto, which the workers' environment leads to."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return moto_url


async def _ask(url: str, service: str, operation: str, **arguments: Any) -> Any:
    session = Session(region="us-east-1", endpoint_url=url)
    await session.open()
    try:
        async with session.client(service) as client:
            return await getattr(client, operation)(**arguments)
    finally:
        await session.aclose()


@pytest.mark.parametrize("backend", ["local://?processes=1", "inline://"])
async def test_secrets_and_parameters_are_read_in_the_worker(moto: str, backend: str) -> None:
    text = json.dumps({"password": VALUE, "port": 5432})
    name = f"dsn/{os.urandom(4).hex()}"
    made = await _ask(moto, "secretsmanager", "create_secret", Name=name, SecretString=text)
    kept = await _ask(
        moto, "ssm", "put_parameter", Name=f"/{name}", Value=VALUE, Type="SecureString"
    )
    assert kept
    parameter = f"arn:aws:ssm:us-east-1:123456789012:parameter/{name}"
    secrets = {"WHOLE": made["ARN"], "PART": f"{made['ARN']}:password::", "OTHER": parameter}
    async with af.Fabric(backend, secrets=secrets) as fabric:
        assert await fabric.map(read, ["WHOLE", "PART", "OTHER"]) == [text, VALUE, VALUE]
        assert await fabric.map(read_later, ["PART"] * 3) == [VALUE] * 3
        plain = fabric.with_options(secrets=None)
        assert await plain.map(read, ["PART"]) == [None]  # in force for these calls only
        wrong = fabric.with_options(secrets={"PART": f"{made['ARN']}:port::"})
        with pytest.raises(Exception, match="it holds no text") as caught:
            await wrong.map(read, ["PART"])
        assert VALUE not in "".join(_all_texts(caught.value))
        absent = fabric.with_options(secrets={"X": ARN})
        with pytest.raises(Exception, match=r"secret X \(arn.*ResourceNotFoundException"):
            await absent.map(read, ["X"])


def _all_texts(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        yield from (str(error), repr(error), *getattr(error, "__notes__", ()))
        error = error.__cause__ or error.__context__


async def test_a_variable_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DSN", VALUE)
    secrets = {"DSN": "env:MY_DSN"}
    async with af.Fabric("local://?processes=1", secrets=secrets, env={"A": "b"}) as fabric:
        assert await fabric.map(read, ["DSN", "A"]) == [VALUE, "b"]
        absent = fabric.with_options(secrets={"DSN": "env:NO_SUCH"})
        with pytest.raises(Exception, match="no such environment variable"):
            await absent.map(read, ["DSN"])


def test_only_names_travel() -> None:
    plan = Plan(job="j", function="f", secrets={"DSN": ARN}, env={"X": VALUE})
    assert ARN.encode() in plan.packed()
    assert VALUE not in repr(plan)
    assert VALUE not in repr(Settings().with_options({"env": {"X": VALUE}}))


@pytest.mark.parametrize(
    "secrets",
    [
        {"DSN": f"postgres://user:{VALUE}@host"},
        {"DSN": VALUE},
        {"DSN": f"arn:aws:s3:::{VALUE}"},
        {"DSN": ""},
        {"LD_PRELOAD": ARN},
        {"AWS_SECRET_ACCESS_KEY": ARN},
        {"PYTHONPATH": ARN},
        {"a b": ARN},
        {"DSN": 5},
        [VALUE],
        VALUE,
    ],
)
def test_what_is_no_reference_is_refused_and_not_shown(secrets: Any) -> None:
    with pytest.raises(af.ConfigurationError) as caught:
        af.Fabric("inline://", secrets=secrets)
    assert VALUE not in "".join(_all_texts(caught.value))


def test_a_bad_environment_is_not_shown() -> None:
    env: Any = {"PASSWORD": VALUE, "PORT": 5432}
    with pytest.raises(af.ConfigurationError) as caught:
        af.Fabric("inline://", env=env)
    assert VALUE not in "".join(_all_texts(caught.value))


def test_a_name_in_both_is_refused() -> None:
    with pytest.raises(af.ConfigurationError, match="'DSN'"):
        af.Fabric("inline://", secrets={"DSN": ARN}, env={"DSN": "x"})


def test_what_is_a_reference() -> None:
    good = [ARN, PARAMETER, f"{ARN}:key", f"{ARN}:key:AWSCURRENT:", "env:X",
            "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/x"]  # fmt: skip
    assert all(map(is_reference, good))
    bad = [
        "env:AWS_SECRET_ACCESS_KEY",
        "env:ASYNCFABRIC_KEY",
        ARN[:-20],
        ARN + "\n",
        PARAMETER + "?",
        "env:",
        "env:a b",
        "arn:aws:ssm:x:1:parameter/x",
    ]
    assert not any(map(is_reference, bad))


class _Answers(BaseHTTPRequestHandler):
    """A service that says what a test likes."""

    status, body, location = 200, b"{}", ""
    seen: list[str]

    def do_POST(self) -> None:
        self.seen.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        if self.location:
            self.send_header("location", self.location)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as inherited
        """Say nothing."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """`serve(status, body)`: be a service of AWS that answers so; returns the paths asked for."""
    servers: list[tuple[ThreadingHTTPServer, Thread]] = []

    def start(status: int, body: bytes, location: str = "") -> list[str]:
        kind: Any = type("Answers", (_Answers,), {})
        made: list[str] = []
        kind.status, kind.body, kind.location, kind.seen = status, body, location, made
        server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        seen: list[str] = kind.seen
        return seen

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


async def _fetch(reference: str = ARN) -> str:
    secrets = Secrets()
    await secrets.fetch({"DSN": reference})
    return secrets.values({"DSN": reference})["DSN"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"{}", "holds no text"),
        (200, b"[]", "holds no text"),
        (200, b'{"SecretBinary": "czNjcjN0"}', "holds no text"),
        (200, b"no json", "does not answer"),
        (400, b'{"__type": "x#AccessDeniedException", "Message": "m"}', "allow the worker's role"),
        (403, b"", "HTTP 403; allow the worker's role"),
        (500, b"<html>", "HTTP 500"),
    ],
)
async def test_answers_that_are_no_secret(
    serve: Callable[..., Any], status: int, body: bytes, said: str
) -> None:
    serve(status, body)
    with pytest.raises(SecretError, match=said):
        await _fetch()


async def test_signed_requests_follow_nobody(serve: Callable[..., list[str]]) -> None:
    elsewhere = serve(200, b'{"SecretString": "x"}')
    there = os.environ["AWS_ENDPOINT_URL"]
    serve(307, b"", f"{there}/stolen")
    with pytest.raises(SecretError, match="HTTP 307"):
        await _fetch()
    assert elsewhere == []


async def test_values_are_kept_for_some_minutes(
    serve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(_secrets, "monotonic", lambda: now[0])
    seen = serve(200, b'{"SecretString": "x"}')
    secrets = Secrets()
    for at, asked in [(0.0, 1), (_secrets.KEPT_SECONDS - 1, 1), (_secrets.KEPT_SECONDS, 2)]:
        now[0] = at
        await secrets.fetch({"DSN": ARN})
        assert secrets.hold({"DSN": ARN})
        assert len(seen) == asked


async def test_a_value_at_hand_goes_under_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may invoke a worker names both; see `code="deployed"`."""
    monkeypatch.setenv("MY_DSN", VALUE)
    secrets = Secrets()
    await secrets.fetch({"DSN": "env:MY_DSN"})
    assert secrets.hold({"OTHER": "env:MY_DSN"})
    for name in ("LD_PRELOAD", "PYTHONPATH", "PATH", "AWS_PROFILE", "ASYNCFABRIC_SERVES", "A=B"):
        assert not secrets.hold({name: "env:MY_DSN"})
        with pytest.raises(SecretError, match="can't be in an environment variable"):
            await secrets.fetch({name: "env:MY_DSN"})
    with pytest.raises(SecretError, match="refers to nothing"):
        await secrets.fetch({"DSN": "env:AWS_SECRET_ACCESS_KEY"})


async def test_nothing_of_them_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DSN", VALUE)
    secrets = Secrets()
    await secrets.fetch({"DSN": "env:MY_DSN"})
    assert VALUE not in repr(secrets)
