"""Lithops on its aws_lambda backend and aws_s3 storage, pointed at the fake endpoint.

Three things of Lithops are replaced, because there is no AWS here; nothing on the way of a call:

- its backend writes the host of AWS into every request and signs it itself. The session that sends
  them is wrapped: the signed request goes to the endpoint instead;
- `deploy_runtime`, which builds and uploads a layer, answers with the runtime's description;
- its boto3 clients find the endpoint by `AWS_ENDPOINT_URL`, which is boto3's own way.

The endpoint writes the status objects that Lithops' worker would write.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, TypeVar, cast

from bench.work import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from bench.peers.cloud import Invoker, Target

A = TypeVar("A")
R = TypeVar("R")

_Section: TypeAlias = "dict[str, str | int | float | bool]"
_Config: TypeAlias = "Mapping[str, _Section]"


class _Request(Protocol):
    url: str


class _HttpSession(Protocol):
    def send(self, request: _Request) -> object:
        """See botocore.httpsession.URLLib3Session.send."""
        ...


class _Backend(Protocol):
    session: _HttpSession
    host: str


class _Handler(Protocol):
    backend: _Backend


class _Executor(Protocol):
    compute_handler: _Handler

    def map(self, function: Callable[[A], R], items: list[tuple[A]]) -> list[R]:
        """See lithops.FunctionExecutor.map; futures really, here opaque."""
        ...

    def get_result(self, futures: list[R], *, wait_dur_sec: float | None) -> list[R] | R:
        """See lithops.FunctionExecutor.get_result."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: object) -> None: ...


class _Package(Protocol):
    def FunctionExecutor(  # noqa: N802  (the peer's name)
        self, *, config: _Config, log_level: str | None
    ) -> _Executor:
        """See lithops.FunctionExecutor."""
        ...


class _BackendClass(Protocol):
    deploy_runtime: Callable[..., dict[str, object]]


class _BackendModule(Protocol):
    AWSLambdaBackend: _BackendClass


lithops = cast("_Package", import_module("lithops"))
version: str = import_module("lithops.version").__version__
lambda_backend = cast(
    "_BackendModule", import_module("lithops.serverless.backends.aws_lambda.aws_lambda")
)

_POLL_SECONDS = 0.02


class _Elsewhere:
    """Sends what is addressed to AWS to the endpoint."""

    def __init__(self, session: _HttpSession, host: str, url: str) -> None:
        self._session = session
        self._host = f"https://{host}"
        self._url = url

    def send(self, request: _Request) -> object:
        request.url = request.url.replace(self._host, self._url, 1)
        return self._session.send(request)


class _Lithops:
    def __init__(self, executor: _Executor, poll: float | None) -> None:
        self._executor = executor
        self._poll = poll

    async def invoke(self, n: int) -> int:
        futures = self._executor.map(identity, [(number,) for number in range(n)])
        found = self._executor.get_result(futures, wait_dur_sec=self._poll)
        results = found if isinstance(found, list) else [found]
        return sum(map(int.__eq__, results, range(n)))


def _deployed(*_: object, **__: object) -> dict[str, object]:
    """Stand in for AWSLambdaBackend.deploy_runtime."""
    return {"python_version": "3.11", "lithops_version": version, "preinstalls": []}


def make_config(target: Target, *, tuned: bool) -> _Config:
    """Return Lithops' configuration: tuned polls its bucket 50 times a second, not every two."""
    common: _Section = {"backend": "aws_lambda", "storage": "aws_s3", "telemetry": False}
    lambda_: _Section = {
        "execution_role": "arn:aws:iam::123456789012:role/bench",
        "account_id": "123456789012",
        "user_id": "AIDABENCH",
        "max_workers": target.in_flight,
    }
    return {
        "lithops": {**common, "monitoring_interval": _POLL_SECONDS} if tuned else common,
        "aws": {"region": target.region},
        "aws_lambda": lambda_,
        "aws_s3": {"storage_bucket": target.bucket},
    }


@asynccontextmanager
async def connect(way: str, target: Target) -> AsyncGenerator[Invoker]:
    """Make an executor at its defaults, or polling faster."""
    tuned = way == "lambda-map-tuned"
    os.environ["AWS_ENDPOINT_URL"] = target.url
    lambda_backend.AWSLambdaBackend.deploy_runtime = _deployed
    try:
        config = make_config(target, tuned=tuned)
        with lithops.FunctionExecutor(config=config, log_level=None) as executor:
            backend = executor.compute_handler.backend
            backend.session = _Elsewhere(backend.session, backend.host, target.url)
            yield _Lithops(executor, _POLL_SECONDS if tuned else None)
    finally:
        del os.environ["AWS_ENDPOINT_URL"]
