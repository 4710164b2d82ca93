"""How many requests are in flight, and what happens to one that fails.

The bound adapts as TCP does (additive increase, multiplicative decrease; Jacobson 1988): a throttle
halves it, at most once per generation of requests; each success raises it by its inverse. Waits
have full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

import asyncio
import random
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from ._s3_answers import Answer, Kind, read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._s3_clients import Clients

T = TypeVar("T")

_ATTEMPTS = 6
_CONNECTS = 4  # an address that can't be reached is told soon
_FIRST_WAIT = 0.1  # seconds, doubled with every attempt
_LONGEST_WAIT = 5.0


class Refused(Exception):
    """A request that will not be repeated."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.answer = answer


class Bound:
    """At most `limit` requests at once, fewer while the service asks to slow down."""

    def __init__(self, limit: int) -> None:
        self.most = limit
        self.limit = float(limit)
        """At this moment; never below 1."""
        self.in_flight = 0
        self._started = 0
        self._cut = 0  # requests up to this number have been answered for
        self._waiting = deque[tuple[int, asyncio.Future[None]]]()

    def try_enter(self, weight: int) -> bool:
        """Take `weight` places unless one would have to wait for them."""
        if self._waiting or not self._fits(weight):
            return False
        self.in_flight += weight
        return True

    async def enter(self, weight: int) -> None:
        """Take `weight` places as soon as they are free, first come first served."""
        turn = asyncio.get_running_loop().create_future()
        entry = (weight, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(weight)
            else:
                with suppress(ValueError):  # it may have been passed over already
                    self._waiting.remove(entry)
                self._admit()
            raise

    def leave(self, weight: int) -> None:
        """Give places back."""
        self.in_flight -= weight
        self._admit()

    def started(self) -> int:
        """Number a request that is about to be sent."""
        self._started += 1
        return self._started

    def succeeded(self) -> None:
        """Open up a little."""
        if self.limit < self.most:
            self.limit = min(self.limit + 1 / self.limit, float(self.most))

    def throttled(self, number: int) -> None:
        """Close down by half, unless this request was sent before the last time."""
        if number > self._cut:
            self._cut = self._started
            self.limit = max(1.0, min(self.limit, self.in_flight) / 2)

    def _fits(self, weight: int) -> bool:
        # What is heavier than the whole bound goes alone.
        return self.in_flight == 0 or self.in_flight + weight <= int(self.limit)

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            weight, turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += weight
                turn.set_result(None)


class Flow:
    """Sends requests under a bound, again where that makes sense."""

    def __init__(
        self, limit: int, patience: float, connect: "Callable[[], Awaitable[Clients]]"
    ) -> None:
        """`patience`: seconds of throttling until a request fails."""
        self.bound = Bound(limit)
        self.clients: Clients | None = None
        """What requests are sent by; None before the first one, which asks `connect`."""
        self._patience = patience
        self._connect = connect

    async def run(self, send: "Callable[[Clients], Awaitable[T]]", *, weight: int = 1) -> T:
        """Return the result of `send()`, which is called for every attempt.

        Raises:
            Refused: S3's answer, if another attempt is pointless.
        """
        from obstore.exceptions import BaseError

        bound = self.bound
        weight = min(weight, bound.most)
        history: _History | None = None
        while True:
            if not bound.try_enter(weight):
                await bound.enter(weight)
            try:
                number = bound.started()
                clients = self.clients or await self._connect()
                try:
                    result = await send(clients)
                except (BaseError, FileNotFoundError, TimeoutError) as error:
                    answer = read_answer(error)
                    trouble = clients.trouble
                    if trouble is not None and not answer.is_of_service:
                        raise trouble from trouble.__cause__
                    history = history or _History(self._patience)
                    wait = history.after(answer)
                    if answer.kind == "expired" and not self._renew(clients):
                        wait = None
                    if wait is None:
                        raise Refused(answer) from error
                    if answer.kind == "throttle":
                        bound.throttled(number)
                else:
                    bound.succeeded()
                    return result
            finally:
                bound.leave(weight)
            await asyncio.sleep(wait)

    def _renew(self, clients: "Clients") -> bool:
        """See to it that others than these expired credentials are used from now on."""
        if not clients.renewable:
            return False
        if self.clients is clients:
            self.clients = clients.renewed()
        return True


class _History:
    """What has become of one request so far."""

    def __init__(self, patience: float) -> None:
        self._now = asyncio.get_running_loop().time
        self._deadline = self._now() + patience
        self._failures = Counter[Kind]()

    def after(self, answer: Answer) -> float | None:
        """Return the seconds to wait before the next attempt; None: there is none."""
        kind = answer.kind
        self._failures[kind] += 1
        failures = self._failures[kind]
        if kind in {"throttle", "conflict"}:
            again = self._now() < self._deadline
        elif kind == "transient":
            again = failures < (_CONNECTS if answer.code == "connect" else _ATTEMPTS)
        else:
            again = kind == "expired" and failures == 1
        if not again:
            return None
        longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (failures - 1))
        return random.uniform(0, longest)  # noqa: S311
