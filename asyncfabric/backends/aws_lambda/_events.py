"""Calls that are left to Lambda: it takes them as events, and runs them when it has room."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncfabric.scheduling import Limit, Pauses, Retry

if TYPE_CHECKING:
    from random import Random

    from asyncfabric.aws._fault import Fault

    from ._connection import Connection

EVENT_BYTES = 700_000
"""Of an envelope that rides in an event: in base64 it must stay below Lambda's 1 MB."""
TAKEN_SECONDS = 60.0
"""Within which Lambda says that it has taken an event."""
_TRIES = Retry(attempts=8)


class Events:
    """Leaves events to Lambda through a connection. `random` is what waits are drawn from."""

    def __init__(self, connection: Connection, random: Random) -> None:
        self._connection = connection
        self._random = random
        self._pauses = Pauses(Limit().patience)

    async def send(self, payload: bytes, *, again: bool) -> None:
        """Leave an event to Lambda; return when it is taken.

        Where the answer gets lost, it may have been taken: it is sent once more if its calls may
        run `again`, and else counts as taken.

        Raises what an invocation may end with: `Throttled` when Lambda keeps refusing for a minute.
        """
        loop = asyncio.get_running_loop()
        pauses, connection = self._pauses, self._connection
        failures = 0
        while True:
            if (wait := pauses.opens - loop.time()) > 0:
                await asyncio.sleep(wait)  # whoever is refused makes all of them wait
            keys = connection.keys
            fault = connection.diagnose(await self._exchange(payload), event=True)
            if fault is None:
                pauses.succeeded()
                return
            if fault.kind == "throttle":
                await self._throttled(fault)
                continue
            if fault.kind in {"terminal", "payload", "function"}:
                if connection.may_have_other_keys(fault) and await connection.has_other_keys(keys):
                    continue
                raise await connection.explain(fault)
            if fault.kind == "ambiguous" and not again:
                return
            failures += 1
            if failures == _TRIES.attempts:
                raise fault.error
            await asyncio.sleep(_TRIES.delay(failures, self._random.random()))

    async def _throttled(self, fault: Fault) -> None:
        if (error := await self._connection.forbidden(fault)) is not None:
            raise error
        now = asyncio.get_running_loop().time()
        self._pauses.refused(now, self._random.random(), fault.retry_after)
        if self._pauses.is_hopeless(now):
            raise fault.error

    async def _exchange(self, payload: bytes) -> Any:  # noqa: ANN401 - a Reply
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(reply: Any) -> None:  # noqa: ANN401
            if not answer.done():  # whoever sent it may have been cancelled
                answer.set_result(reply)

        self._connection.leave(payload, TAKEN_SECONDS, done)
        return await answer
