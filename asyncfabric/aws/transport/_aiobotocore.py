"""The transport on aiobotocore: slower by far, but it knows proxies and custom certificates."""

from __future__ import annotations

import asyncio
import io
import socket
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import FabricError
from asyncfabric.aws._sdk import load

from ._connection import tell
from ._protocol import BODY_LIMIT, Reply, Unanswered
from ._sockets import new_socket

if TYPE_CHECKING:
    from asyncfabric.aws._session import Session

    from ._protocol import Done, Request, Why

_OPEN_TIMEOUT = 10.0
_READ_TIMEOUT = 24 * 3600.0
"""Each request has a limit of its own; the client's would be one for all."""
_IDLE = 50.0  # seconds, as the thin transport's
_CHUNK = 256 * 1024
_LARGE = 1024 * 1024

_raw: ContextVar[dict[str, Any] | None] = ContextVar("_raw", default=None)
"""Where a task leaves the reply as it came: the SDK's parser keeps only parts of it."""


class AiobotocoreTransport:
    """Sends invocations by an aiobotocore client.

    Args:
        client: a Lambda client; see `open`.
        owner: closes the client.
        limit: requests at a time, so that none waits for a connection while its time runs.
    """

    def __init__(self, client: Any, owner: AsyncExitStack, *, limit: int) -> None:  # noqa: ANN401
        self._client = client
        self._owner = owner
        self._slots = asyncio.Semaphore(limit)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._reached = False
        client.meta.events.register("before-parse.lambda.Invoke", _keep)

    @classmethod
    async def open(cls, session: Session, *, limit: int) -> AiobotocoreTransport:
        """Return a transport to the session's endpoint. Nothing is connected yet."""
        owner = AsyncExitStack()
        client = await owner.enter_async_context(
            session.client(
                "lambda",
                # An attempt of the SDK's own would run a slow function once more.
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=_OPEN_TIMEOUT,
                read_timeout=_READ_TIMEOUT,
                max_pool_connections=limit,
                parameter_validation=False,
                # It ignores socket options, but not a maker of sockets.
                connector_args={"socket_factory": _make_socket, "keepalive_timeout": _IDLE},
            )
        )
        return cls(client, owner, limit=limit)

    def invoke(self, request: Request, done: Done) -> None:
        """Send an invocation; see `Transport.invoke`."""
        if self._closed:
            problem = Unanswered("the transport was closed", written=False, why="closed")
            self._loop.call_soon(tell, self._loop, done, problem)
            return
        task = self._loop.create_task(self._carry(request, done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Close every connection; see `Transport.aclose`."""
        self._closed = True
        # A task that was never started wouldn't hear of its cancellation.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._owner.aclose()

    async def _carry(self, request: Request, done: Done) -> None:
        answer: Reply | Unanswered
        sending = False
        try:
            async with self._slots:
                sending = True
                answer = await self._exchange(request)
        except Unanswered as problem:
            answer = problem
        except asyncio.CancelledError:
            answer = Unanswered("the transport was closed", written=sending, why="closed")
        except Exception as error:  # noqa: BLE001 - whatever it is, someone waits to be told
            answer = Unanswered(f"{error!r}", written=sending, why="lost")
            answer.__cause__ = error
        if isinstance(answer, Reply):
            self._reached = True
        elif answer.why == "nowhere" and self._reached:
            answer.why = "dns"  # a host that was there is not gone: its name server is
        tell(self._loop, done, answer)

    async def _exchange(self, request: Request) -> Reply:
        raw: dict[str, Any] = {}
        _raw.set(raw)
        options = {"LogType": "Tail"} if request.tail else {}
        try:
            async with asyncio.timeout(request.seconds):
                try:
                    answer = await self._client.invoke(
                        FunctionName=request.function,
                        InvocationType="Event" if request.event else "RequestResponse",
                        Payload=_sendable(request.payload),
                        **options,
                    )
                    body = await _read(answer["Payload"])
                except Exception as error:  # what the SDK raises has no common base
                    if isinstance(raw.get("body"), bytes):
                        # It is the reply of an error, or one that the SDK can't parse.
                        body = raw["body"]
                    else:
                        raise _classified(error) from error
        except TimeoutError as error:
            raise Unanswered(
                "no reply came within the time limit", written=True, why="timeout"
            ) from error
        headers = {str(name).lower(): str(value) for name, value in raw["headers"].items()}
        return Reply(raw["status_code"], headers, body)


def _keep(response_dict: dict[str, Any], **_: object) -> None:
    raw = _raw.get()
    if raw is not None:
        raw.update(response_dict)


def _make_socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    family, kind, protocol, _, _ = address
    return new_socket(family, kind, protocol)


def _sendable(payload: bytes | bytearray) -> bytes | bytearray | io.BytesIO:
    # aiohttp warns of large bytes: it would write them in one go.
    return io.BytesIO(payload) if len(payload) > _LARGE else payload


async def _read(stream: Any) -> bytearray:  # noqa: ANN401 - the SDK's
    body = bytearray()
    try:
        while chunk := await stream.read(_CHUNK):
            body += chunk
            if len(body) > BODY_LIMIT:
                raise Unanswered(
                    f"the reply is larger than {BODY_LIMIT} bytes, which no answer of Lambda is",
                    written=True,
                    why="oversized",
                )
    except BaseException:
        stream.close()
        raise
    return body


def _classified(error: Exception) -> Unanswered:
    """Tell what an exception of the SDK means for the request."""
    if isinstance(error, Unanswered):
        return error
    sdk, http = load("botocore.exceptions"), load("aiohttp")
    cause = getattr(error, "kwargs", {}).get("error", error)
    why: Why = "lost"
    written = True
    if isinstance(error, (sdk.SSLError, http.ClientSSLError)):
        why, written = "tls", False
    elif isinstance(cause, http.ClientConnectorError):
        why, written = _no_connection(cause.os_error), False
    elif isinstance(error, (sdk.ConnectTimeoutError, sdk.ProxyConnectionError)):
        why, written = "connect", False
    elif isinstance(cause, (http.ClientResponseError, http.http_exceptions.HttpProcessingError)):
        why = "malformed"
    elif isinstance(error, FabricError) or _about_credentials(error):
        why, written = "credentials", False
    return Unanswered(f"{cause or type(cause).__name__}", written=written, why=why)


def _no_connection(error: OSError) -> Why:
    if isinstance(error, socket.gaierror):
        return "dns" if error.errno == socket.EAI_AGAIN else "nowhere"
    return "connect"


def _about_credentials(error: Exception) -> bool:
    sdk = load("botocore.exceptions")
    return isinstance(
        error,
        (
            sdk.NoCredentialsError,
            sdk.PartialCredentialsError,
            sdk.CredentialRetrievalError,
            sdk.SSOError,
            sdk.TokenRetrievalError,
            sdk.LoginError,
        ),
    )
