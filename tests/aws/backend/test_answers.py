# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Answers that no worker of ours gives, and endpoints that are no Lambda."""

import base64
import json
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

import asyncfabric as af
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from asyncfabric_runtime._wire import OUTCOME, PONG, SPILLED, pack
from asyncfabric_storage import StorageError, digest
from tests.aws.backend.fronts import cloud
from tests.aws.backend.test_faults import reserve

pytestmark = pytest.mark.asyncio(loop_scope="module")

Answer = Callable[[web.Request], Awaitable[web.Response]]
LAMBDA = {"x-amzn-RequestId": "12345678-0000-0000-0000-000000000000"}


class Impostor:
    """A server that says what a test likes."""

    def __init__(self, answer: Answer) -> None:
        self.requests: list[str] = []
        self._answer = answer
        self.url = ""

    async def handle(self, request: Any) -> Any:
        """Note the request, and answer."""
        self.requests.append(f"{request.method} {request.path}")
        return await self._answer(request)

    @property
    def backend(self) -> str:
        """The URL for a Fabric."""
        return f"lambda://asyncfabric?region=us-east-1&endpoint_url={quote(self.url, safe='')}"


@asynccontextmanager
async def impostor(answer: Answer) -> AsyncGenerator[Impostor]:
    """Serve; at the end, every connection is closed at both ends."""
    made = Impostor(answer)
    server = web.Server(made.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = site.name
    try:
        yield made
    finally:
        await runner.cleanup()


def saying(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """Answer everything alike."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(
            body=body, status=status, headers=LAMBDA if headers is None else headers
        )

    return answer


def framed(kind: int, head: object) -> bytes:
    """Return a frame as a function's answer."""
    frame = b"".join(bytes(memoryview(piece)) for piece in pack(kind, head))
    return b'"' + base64.b64encode(frame) + b'"'


GOOD_OUTCOME: tuple[Any, ...] = (
    1,
    (0, 1),
    (None, [1]),
    b"\0" * 8,
    {},
    {},
    0.0,
    (0.0,) * 5,
    False,
    0,
    True,
    [],
    [],
)


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (b'{"hello": "world"}', af.ConfigurationError, "no worker of asyncfabric"),
        (b'"hello"', af.VersionMismatch, "can't be read"),
        (b'"not base64, this"', af.VersionMismatch, "can't be read"),
        (b'""', af.VersionMismatch, "can't be read"),
        (b'"' + base64.b64encode(b"AF" + b"\xff" * 30) + b'"', af.VersionMismatch, "wire version"),
        (framed(OUTCOME, GOOD_OUTCOME)[:-9] + b'"', af.VersionMismatch, "can't be read"),
        (framed(OUTCOME, "what?"), af.VersionMismatch, "another shape"),
        (framed(OUTCOME, (None,) * 13), af.VersionMismatch, "another shape"),
        (framed(OUTCOME, (77, *GOOD_OUTCOME[1:])), af.VersionMismatch, "another invocation"),
        (framed(PONG, {}), af.VersionMismatch, f"of kind {PONG}"),
        (framed(SPILLED, "what?"), af.VersionMismatch, "can't read"),
        (framed(SPILLED, ("jobs/other", "d", "u", 1)), af.VersionMismatch, "not where answers"),
        (framed(SPILLED, ("spill/x", "d", "u", 1)), StorageError, "spill/x"),
        (framed(SPILLED, ("spill/x", "d", "u", 10 << 30)), StorageError, "spill/x"),
        (framed(SPILLED, ("spill/x", "d", "u", (10 << 30) + 1)), af.VersionMismatch, "memory"),
        (b"null", af.DeploymentError, "no worker of asyncfabric"),
        (b"[1, 2]", af.DeploymentError, "no worker of asyncfabric"),
    ],
)
async def test_an_answer_that_is_none(body: bytes, kind: type[Exception], says: str) -> None:
    async with (
        impostor(saying(body)) as server,
        af.Fabric(server.backend, max_concurrency=3) as fabric,
    ):
        with pytest.raises(kind, match=says) as caught:
            await fabric.map(abs, range(100), chunksize=1)
    assert len(server.requests) <= 3
    if kind is not StorageError:
        assert "asyncfabric deploy" in str(caught.value)


GOOD_PONG = {"python": PYTHON, "wire": WIRE_VERSION, "cold": True, "missing": [], "worker": "w"}


@pytest.mark.parametrize(
    "pong",
    [
        None,
        [1],
        {},
        *({name: GOOD_PONG[name] for name in GOOD_PONG if name != left} for left in GOOD_PONG),
        {**GOOD_PONG, "missing": "numpy"},
        {**GOOD_PONG, "missing": [1]},
        {**GOOD_PONG, "missing": ["not_asked_for"]},
        {**GOOD_PONG, "missing": ["numpy", "not_asked_for"]},
    ],
)
async def test_a_question_that_gets_another_answer(pong: object) -> None:
    def average(x: int) -> object:
        import numpy as np

        return np.mean([x])

    async with (
        impostor(saying(framed(PONG, pong))) as server,
        af.Fabric(server.backend, max_concurrency=1) as fabric,
    ):
        with pytest.raises(af.VersionMismatch, match="asyncfabric deploy"):
            await fabric.submit(average, 1)
    assert len(server.requests) == 1


async def test_a_question_that_is_answered() -> None:
    body = framed(PONG, {**GOOD_PONG, "missing": ["numpy"]})

    def average(x: int) -> object:
        import numpy as np

        return np.mean([x])

    async with (
        impostor(saying(body)) as server,
        af.Fabric(server.backend, max_concurrency=1) as fabric,
    ):
        with pytest.raises(af.DeploymentError, match="numpy"):
            await fabric.submit(average, 1)


async def test_a_stored_answer_that_was_changed(tmp_path: Path) -> None:
    key = "spill/job/1"
    store = af.Fabric("inline://", storage=f"file://{tmp_path}").store
    await store.put(key, b"forged")
    body = framed(SPILLED, (key, digest(b"genuine"), store.url, 7))
    async with (
        impostor(saying(body)) as server,
        af.Fabric(server.backend, storage=store, max_concurrency=1) as fabric,
    ):
        with pytest.raises(StorageError, match="changed or damaged"):
            await fabric.submit(abs, 1)


@pytest.mark.parametrize(
    ("wire", "python"), [(WIRE_VERSION + 1, PYTHON), (WIRE_VERSION, "2.7"), (None, None)]
)
async def test_a_worker_of_another_version(wire: object, python: object) -> None:
    refusal = {"asyncfabric": "refused", "reason": "so there", "wire": wire, "python": python}
    async with (
        impostor(saying(json.dumps(refusal).encode())) as server,
        af.Fabric(server.backend, max_concurrency=2) as fabric,
    ):
        with pytest.raises(af.VersionMismatch, match="so there") as caught:
            await fabric.map(abs, range(50), chunksize=1)
    assert "asyncfabric deploy" in str(caught.value)
    assert f"this driver {WIRE_VERSION} and {PYTHON}" in str(caught.value)
    assert len(server.requests) <= 2


@pytest.mark.parametrize("status", [200, 301, 403, 404, 405])
async def test_a_web_page(status: int) -> None:
    page = saying(b"<html>Welcome to nginx!</html>", status, {"Content-Type": "text/html"})
    async with impostor(page) as server, af.Fabric(server.backend, max_concurrency=2) as fabric:
        with pytest.raises(af.ConfigurationError, match="is not Lambda") as caught:
            await fabric.map(abs, range(50), chunksize=1)
        assert "endpoint_url" in str(caught.value)
    assert len(server.requests) <= 2


async def test_a_gateway_that_fails() -> None:
    page = saying(b"<html>Bad gateway</html>", 502, {"Content-Type": "text/html"})
    async with (
        impostor(page) as server,
        af.Fabric(server.backend, max_concurrency=2, retry=af.Retry(base=0)) as fabric,
    ):
        with pytest.raises(af.InvocationError, match="502"):
            await fabric.submit(abs, 1)
        assert len(server.requests) == 3
        with pytest.raises(af.InvocationError, match="502"):  # it may have run
            await fabric.with_options(idempotent=False).submit(abs, 1)
        assert len(server.requests) == 4


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
    backend = f"lambda://asyncfabric?region=us-east-1&endpoint_url={quote(url, safe='')}"
    quick = af.Retry(base=0)
    async with af.Fabric(backend, max_concurrency=2, retry=quick) as fabric:
        with pytest.raises(af.InvocationError) as caught:
            await fabric.map(abs, range(50))
    assert url in str(caught.value)


async def test_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    async with (
        impostor(saying(b"")) as server,
        af.Fabric(server.backend, max_concurrency=2) as fabric,
    ):
        for _ in range(2):  # and it stays so
            with pytest.raises(af.ConfigurationError, match="no AWS credentials were found"):
                await fabric.map(abs, range(50))
        with pytest.raises(af.ConfigurationError, match="no AWS credentials were found"):
            await fabric.warm(1)
    assert server.requests == []


async def test_no_region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    url = quote("http://127.0.0.1:9", safe="")
    async with af.Fabric(f"lambda://asyncfabric?endpoint_url={url}") as fabric:
        with pytest.raises(af.ConfigurationError, match="no AWS region is configured"):
            await fabric.submit(abs, 1)


async def test_somebody_elses_function_of_that_name() -> None:
    """It runs, and answers something."""
    from asyncfabric.testing import FunctionSettings

    async with cloud(concurrency=2) as (front, fabric):
        member = fabric._core.backend._settings.member
        settings = FunctionSettings(
            handler="handlers.echo",
            memory=member.memory,
            code=Path(__file__).parents[2] / "testing" / "functions",
        )
        front.register(member.function_name, settings)
        with pytest.raises(af.VersionMismatch, match="a frame of kind 1; publish"):
            await fabric.map(abs, range(20), chunksize=1)
        assert front.counters.executions <= 2


async def test_a_handler_that_can_not_be_imported() -> None:
    from asyncfabric.testing import FunctionSettings

    async with cloud(concurrency=2) as (front, fabric):
        member = fabric._core.backend._settings.member
        settings = FunctionSettings(handler="no_such_module.handler", memory=member.memory)
        front.register(member.function_name, settings)
        with pytest.raises(af.DeploymentError, match=r"Runtime\.ImportModuleError") as caught:
            await fabric.map(abs, range(20), chunksize=1)
        assert "asyncfabric deploy" in str(caught.value)
        assert front.counters.requests <= 2


# a function that may not run


def reserved(answer: tuple[int, dict[str, object]]) -> Answer:
    """Throttle every invocation, and say what is reserved if asked."""

    async def serve(request: web.Request) -> web.Response:
        await request.read()
        if request.path.endswith("/concurrency"):
            status, body = answer
            return web.json_response(body, status=status, headers=LAMBDA)
        body = {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "no"}
        headers = {"x-amzn-ErrorType": "TooManyRequestsException"}
        return web.json_response(body, status=429, headers=headers)

    return serve


async def test_a_reserved_concurrency_of_0() -> None:
    async with (
        impostor(reserved((200, {"ReservedConcurrentExecutions": 0}))) as server,
        af.Fabric(server.backend, max_concurrency=8) as fabric,
    ):
        with pytest.raises(af.DeploymentError, match="reserved concurrency of 0") as caught:
            await fabric.map(abs, range(100), chunksize=1)
        assert "delete-function-concurrency --function-name asyncfabric-" in str(caught.value)
        assert sum(each.startswith("GET") for each in server.requests) == 1
        assert len(server.requests) <= 9


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"ReservedConcurrentExecutions": 3}),
        (200, {}),
        (403, {"message": "not authorized", "Code": "AccessDeniedException"}),
    ],
    ids=["three", "none", "denied"],
)
async def test_what_is_reserved_is_asked_for_once(answer: tuple[int, dict[str, object]]) -> None:
    impatient = af.Limit(patience=0.3)
    async with (
        impostor(reserved(answer)) as server,
        af.Fabric(server.backend, max_concurrency=8, limit=impatient) as fabric,
    ):
        with pytest.raises(af.Throttled, match="reserved concurrency is used up"):
            await fabric.map(abs, range(100), chunksize=1)
        assert sum(each.startswith("GET") for each in server.requests) == 1


async def test_the_front_refuses_at_0() -> None:
    """It serves nothing but Invoke, so nobody knows why."""
    impatient = {"limit": af.Limit(patience=0.3)}
    async with cloud(concurrency=4, options=impatient) as (front, fabric):
        reserve(front, fabric, 0)
        with pytest.raises(af.Throttled, match="or 0; raise it"):
            await fabric.map(abs, range(10))
