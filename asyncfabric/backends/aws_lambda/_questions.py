"""Invocations that run no call: they ask a worker something, or keep it awake."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from asyncfabric.scheduling import Limit, Pauses, Retry
from asyncfabric_runtime import WireError
from asyncfabric_runtime._wire import PING, PONG, load_head, pack

from ._faults import is_worth_another
from ._payload import from_body, to_payload, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from ._connection import Connection

HOLD_SECONDS = 0.25
"""How long a worker is kept busy at least, so that the next question meets another one."""
HOLD_EACH = 0.0002
"""And for every worker that is asked for: so long it takes to send its question."""
_ANSWER_SECONDS = 60.0


class Questions:
    """Asks workers through a connection. `random` is what waits are drawn from."""

    def __init__(self, connection: Connection, random: Random) -> None:
        self._connection = connection
        self._random = random

    @property
    def redeploy(self) -> str:
        """The command that publishes the function."""
        return self._connection.redeploy

    async def ask(self, *, hold: float = 0.0, modules: Sequence[str] = ()) -> dict[str, Any]:
        """Ask a worker what it is, which of some modules it hasn't got; keep it busy meanwhile.

        Returns `python`, `wire`, `cold` (it had run nothing before), `missing` (modules) and
        `worker` (its name). Raises what an invocation may end with.
        """
        question = to_payload(pack(PING, {"hold": hold, "modules": list(modules)}))
        loop = asyncio.get_running_loop()
        pauses, retry, failures = Pauses(Limit().patience), Retry(), 0
        while True:
            reply = await self._exchange(question, hold + _ANSWER_SECONDS)
            fault = self._connection.diagnose(reply)
            if fault is None:
                return self._read(reply, modules)
            if fault.kind == "terminal":
                raise await self._connection.explain(fault)
            chance = self._random.random()
            if fault.kind == "throttle":
                if (error := await self._connection.forbidden(fault)) is not None:
                    raise error
                pauses.refused(loop.time(), chance, fault.retry_after)
                if pauses.is_hopeless(loop.time()):
                    raise fault.error
                await asyncio.sleep(pauses.opens - loop.time())
                continue
            failures += 1
            if failures == retry.attempts or not is_worth_another(fault):
                raise fault.error
            await asyncio.sleep(retry.delay(failures, chance))

    async def _exchange(self, question: bytes, seconds: float) -> Any:  # noqa: ANN401 - a Reply
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(reply: Any) -> None:  # noqa: ANN401
            if not answer.done():  # whoever asked may have been cancelled
                answer.set_result(reply)

        self._connection.invoke(question, seconds, done)
        return await answer

    def _read(self, reply: Any, modules: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 - a Reply
        function, redeploy = self._connection.function, self._connection.redeploy
        try:
            kind, segments = from_body(reply.body, function, redeploy)
            if kind != PONG:
                msg = f"a question got a frame of kind {kind}"
                raise WireError(msg)
            answer = load_head(segments[0])
            if not _agrees(answer, modules):
                msg = "it says what it is in a way that this side can't read"
                raise WireError(msg)
        except WireError as error:
            raise unreadable(function, error, redeploy) from error
        told: dict[str, Any] = answer
        return told

    async def warm(self, workers: int) -> None:
        """Have so many workers started at the same time."""
        hold = HOLD_SECONDS + HOLD_EACH * workers
        asked = [asyncio.ensure_future(self.ask(hold=hold)) for _ in range(workers)]
        try:
            await asyncio.gather(*asked)
        finally:
            for each in asked:
                each.cancel()


_ANSWER: dict[str, type] = {
    "python": str,
    "wire": int,
    "cold": bool,
    "missing": list,
    "worker": str,
}


def _agrees(answer: Any, modules: Sequence[str]) -> bool:  # noqa: ANN401 - whatever was sent
    """Tell whether an answer has all its parts, and misses nothing but what was asked for."""
    return (
        isinstance(answer, dict)
        and all(type(answer.get(name)) is kind for name, kind in _ANSWER.items())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] # plain data
        and all(name in modules for name in answer["missing"])  # pyright: ignore[reportUnknownVariableType] # as above
    )
