"""Connections to one host: opened on demand up to a limit, kept, reused, closed when idle."""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from ._connection import Connection
from ._dialing import Dialer, Exhausted
from ._protocol import Unanswered
from ._reader import Reader

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

OPENING = 256
"""Connections being opened at a time, at most. At 150 ms for the round trips of TLS that is 1,700
a second, more than one core's handshakes and AWS's 1,000 new environments in 10 s."""
IDLE = 50.0
"""Seconds that an idle connection is kept: AWS's SDK for Java, say, takes 60 s for the moment from
which servers may hang up, and the translators of addresses between us forget a flow after 350 s."""
DOUBT = 1.0
"""A connection that was idle for so many seconds is looked at before it is used again."""
TICK = 0.5
"""Seconds between two looks at deadlines and idle connections."""

Item = TypeVar("Item")


class Pool(Generic[Item]):
    """Connections to one endpoint, and those who wait for one.

    Args:
        url: the endpoint.
        limit: connections at most.
        trust: what TLS trusts; None for plain HTTP.
        serve: called with a free connection and the one who waited longest for it.
        refuse: called with one who waited, and why there is no connection.
    """

    def __init__(
        self,
        url: str,
        limit: int,
        trust: ssl.SSLContext | None,
        serve: Callable[[Connection, Item], None],
        refuse: Callable[[Item, Unanswered], None],
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._dialer = Dialer(url, trust, lambda sock: Connection(self, sock))
        self._most = limit
        self._limit = limit  # less than that while this machine has no room for more
        self._serve = serve
        self._refuse = refuse
        self._idle: dict[Connection, None] = {}  # in the order in which they became idle
        self._all: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._waiting: deque[Item] = deque()
        self._readers: list[Reader] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # -- called by the transport ----------------------------------------------------------------

    def take(self) -> Connection | None:
        """Return the connection that became idle last, if there is one: the others may expire."""
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable(doubtful=self.loop.time() - connection.idle_since >= DOUBT):
                connection.idle_since = inf
                return connection
            connection.close()
        return None

    def wait(self, item: Item) -> None:
        """Let someone wait for a connection; open one for them if that is allowed."""
        self._waiting.append(item)
        self._open_more()

    def park(self, connection: Connection) -> None:
        """Take a connection back without serving anyone."""
        connection.idle_since = self.loop.time()
        self._idle[connection] = None

    def serve(self) -> None:
        """Give idle connections to those who wait."""
        while self._waiting and (connection := self.take()) is not None:
            self._serve(connection, self._waiting.popleft())
        self._open_more()

    async def aclose(self) -> None:
        """Close every connection, and refuse those who wait."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        opening = list(self._opening)
        for task in opening:
            task.cancel()
        while self._waiting:
            problem = Unanswered("the transport was closed", written=False, why="closed")
            self._refuse(self._waiting.popleft(), problem)
        for connection in list(self._all):
            connection.close()
        if opening:
            await asyncio.wait(opening)
        await self._dialer.aclose()
        # The loop closes the sockets of aborted connections in its next rounds.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    # -- called by connections ------------------------------------------------------------------

    def borrow(self) -> Reader:
        """Return a reader that is not in use."""
        return self._readers.pop() if self._readers else Reader()

    def give_back(self, reader: Reader) -> None:
        """Take a reader that is done with."""
        if len(self._readers) < OPENING:
            self._readers.append(reader)

    def on_free(self, connection: Connection) -> None:
        """Give the connection to whoever waited longest, or keep it."""
        if self._waiting:
            self._serve(connection, self._waiting.popleft())
        else:
            self.park(connection)

    def on_end(self, connection: Connection) -> None:
        """Forget a connection, and open another one for those who wait."""
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._open_more()

    # -- opening --------------------------------------------------------------------------------

    def _open_more(self) -> None:
        if self._closed:
            return
        opening = len(self._opening)
        wanted = min(
            len(self._waiting) - opening,
            self._limit - len(self._all) - opening,
            OPENING - opening,
        )
        if wanted > 0 and self._timer is None:
            self._timer = self.loop.call_later(TICK, self._tick)
        for _ in range(wanted):
            task = self.loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        others = len(self._all) + len(self._opening)
        if isinstance(error, Exhausted) and others:
            self._limit = min(self._limit, others)  # these serve all who wait; see _tick
        elif error is not None and self._waiting:
            if not isinstance(error, Unanswered):
                problem = Unanswered(f"no connection ({error!r})", written=False, why="connect")
                problem.__cause__ = error
                error = problem
            self._refuse(self._waiting.popleft(), error)
        self._open_more()

    async def _open(self) -> None:
        """Open a connection."""
        connection = await self._dialer.open()
        self._all.add(connection)
        self.on_free(connection)

    # -- time -----------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Look at every connection: half a millisecond for 10,000, and nothing per call."""
        now = self.loop.time()
        self._dialer.expire(now)
        for connection in list(self._all):
            if connection.deadline <= now:
                connection.overdue()
            elif connection.idle_since <= now - IDLE:
                connection.close()
        busy = self._all or self._opening
        self._timer = self.loop.call_later(TICK, self._tick) if busy else None
        if self._limit < self._most:
            self._limit = self._most
            self._open_more()
