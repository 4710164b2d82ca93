"""The thin transport: signed HTTP/1.1 requests straight onto sockets.

No task, future or timer is made for a call. A call takes some 17 us of CPU, most of it the
system's; a connection that waits takes some 5 KB.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric.aws._sigv4 import Signer

from ._connection import tell
from ._pool import Pool
from ._protocol import Unanswered

if TYPE_CHECKING:
    from asyncfabric.aws._session import Credentials, Session

    from ._connection import Connection
    from ._protocol import Done, Request

_OFF_LOOP = 1024 * 1024
"""Payloads of more bytes are hashed in a thread: it takes half a millisecond and more."""
_LAST_SECONDS = 10.0
"""Credentials are used until so many seconds before they expire."""


class _Job(NamedTuple):
    """A request, and what has been found out about it."""

    request: Request
    done: Done
    digest: str | None


class ThinTransport:
    """Sends invocations over a pool of keep-alive connections.

    Args:
        session: an open session: credentials, region, endpoint.
        limit: connections at most.
        trust: what TLS trusts; None for plain HTTP.
    """

    def __init__(self, session: Session, *, limit: int, trust: ssl.SSLContext | None) -> None:
        self._session = session
        url = session.endpoint("lambda")
        self._signer = Signer(url, session.region)
        self._pool: Pool[_Job] = Pool(url, limit, trust, self._send, self._refuse)
        self._loop = self._pool.loop
        self._credentials: Credentials | None = session.credentials
        self._renewal: asyncio.Task[None] | None = None
        self._hashing: set[asyncio.Future[str]] = set()
        self._held: list[_Job] = []  # until there are credentials
        self._closed = False

    @classmethod
    async def open(cls, session: Session, *, limit: int) -> ThinTransport:
        """Return a transport to the session's endpoint. Nothing is connected yet."""
        trust = None
        if session.endpoint("lambda").startswith("https:"):
            trust = await asyncio.to_thread(_trust)  # it reads every certificate there is
        return cls(session, limit=limit, trust=trust)

    def invoke(self, request: Request, done: Done) -> None:
        """Send an invocation; see `Transport.invoke`."""
        if len(request.payload) > _OFF_LOOP:
            self._hash(request, done)
        else:
            self._start(_Job(request, done, None))

    async def aclose(self) -> None:
        """Close every connection; see `Transport.aclose`."""
        self._closed = True
        pending: set[asyncio.Future[Any]] = {*self._hashing}
        if self._renewal is not None:
            self._renewal.cancel()
            pending.add(self._renewal)
        self._refuse_held(_closed())
        await self._pool.aclose()
        if pending:
            await asyncio.wait(pending)
            await asyncio.sleep(0)  # those whose payloads were hashed are told, too

    # -- sending --------------------------------------------------------------------------------

    def _start(self, job: _Job) -> None:
        if self._closed:
            self._refuse(job, _closed())
        elif (connection := self._pool.take()) is not None:
            self._send(connection, job)
        else:
            self._pool.wait(job)

    def _send(self, connection: Connection, job: _Job) -> None:
        request, done, digest = job
        now = time.time()
        credentials = self._session.credentials
        if credentials is None:
            credentials = self._old(now)
            if credentials is None:
                self._held.append(job)
                self._pool.park(connection)
                return
        else:
            self._credentials = credentials
        payload = request.payload
        head = self._signer.head(
            request.function,
            digest or hashlib.sha256(payload).hexdigest(),
            len(payload),
            tail=request.tail,
            credentials=credentials,
            now=now,
            event=request.event,
        )
        connection.send(head, payload, done, self._loop.time() + request.seconds)

    def _hash(self, request: Request, done: Done) -> None:
        try:
            hashing = self._loop.run_in_executor(None, _digest, request.payload)
        except RuntimeError:  # the loop's threads, or the interpreter, are being shut down
            self._start(_Job(request, done, None))
            return
        self._hashing.add(hashing)
        hashing.add_done_callback(partial(self._hashed, request, done))

    def _hashed(self, request: Request, done: Done, hashing: asyncio.Future[str]) -> None:
        self._hashing.discard(hashing)
        self._start(_Job(request, done, None if hashing.cancelled() else hashing.result()))

    def _refuse(self, job: _Job, problem: Unanswered) -> None:
        """Tell someone that the request wasn't sent: later, as `invoke` promises."""
        self._loop.call_soon(tell, self._loop, job.done, problem)

    # -- credentials ----------------------------------------------------------------------------

    def _old(self, now: float) -> Credentials | None:
        """Have the credentials renewed; return those of before while they are good."""
        if self._renewal is None:
            self._renewal = self._loop.create_task(self._renew())
        old = self._credentials
        if old is None or old.expires is None or old.expires - _LAST_SECONDS > now:
            return old
        return None

    async def _renew(self) -> None:
        try:
            self._credentials = await self._session.refresh()
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait are told
            problem = Unanswered(str(error), written=False, why="credentials")
            problem.__cause__ = error
            self._refuse_held(problem)
        finally:
            self._renewal = None
        held, self._held = self._held, []
        for job in held:
            self._start(job)
        self._pool.serve()

    def _refuse_held(self, problem: Unanswered) -> None:
        held, self._held = self._held, []
        for job in held:
            self._refuse(job, problem)


def _digest(payload: bytes | bytearray) -> str:
    return hashlib.sha256(payload).hexdigest()


def _closed() -> Unanswered:
    return Unanswered("the transport was closed", written=False, why="closed")


def _trust() -> ssl.SSLContext:
    trust = ssl.create_default_context()
    trust.set_alpn_protocols(["http/1.1"])
    return trust
