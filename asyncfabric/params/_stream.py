"""Loops that pull and push: one round trip for some updates, and no waiting before it is needed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from ._steps import Later

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import ArrayLike

    from ._attempts import Turn
    from ._blocking_link import BlockingLink, Sent
    from ._home import Home
    from ._link import Link
    from ._place import Place
    from ._pull import Pull
    from ._steps import Answer, Steps
    from ._window import Window

T = TypeVar("T")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class _Open(Generic[S]):
    """A push that was sent, whose answer is still to be read."""

    steps: Steps[None]
    sent: S
    turn: Turn


class BlockingStream:
    """What `ParameterServer.blocking.stream` returns; see `Stream`. For one thread."""

    def __init__(self, home: Home, window: Window) -> None:
        self._home = home
        self._window = window
        self._at: tuple[Place, BlockingLink] | None = None
        self._open: _Open[Sent] | None = None

    def pull(self, *, indices: ArrayLike | None = None) -> Pull:
        """Read the parameter, or some of it: `(values, version)`."""
        place, link = self._settled()
        return link.follow(self._window.pull(place, indices))

    def push(self, delta: ArrayLike, *, indices: ArrayLike | None = None) -> None:
        """Add to the parameter, now or with one of the next pushes."""
        place, link = self._settled()
        if link.follow(self._window.add(place, delta, indices)):
            self._send(place, link)

    def flush(self) -> None:
        """Send what waits, and wait until all was applied."""
        place, link = self._settled()
        if self._window.waits:
            self._send(place, link)
            self._settled()

    def _settled(self) -> tuple[Place, BlockingLink]:
        """Read the answer to the last push; raises what went wrong with it."""
        if self._at is None:
            raise RuntimeError(_NOT_ENTERED)
        place, link = self._at
        opened, self._open = self._open, None
        if opened is not None:
            try:
                link.follow(opened.steps, link.end(opened.sent))
            finally:
                opened.turn.over = True
        return place, link

    def _send(self, place: Place, link: BlockingLink) -> None:
        turn = self._home.turn(place, self._window.what)
        try:
            steps = self._window.send(place, turn.begin())
            commands = next(steps)
            while not isinstance(commands, Later):
                commands = steps.send(link.run(commands))
            self._open = _Open(steps, link.begin(commands), turn)
        finally:
            if self._open is None:
                turn.over = True

    def __enter__(self) -> Self:
        if self._at is not None:
            raise RuntimeError(_ENTERED)
        self._at = self._home.blocking_link()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._at = None
            opened, self._open = self._open, None
            if opened is not None:
                opened.turn.over = True
                opened.sent.wanted = False


class Stream:
    """What `ParameterServer.stream` returns: one task's pulls from and pushes to one parameter.

        async with ps.stream("weights", every=8) as weights:
            for batch in batches:
                values, _ = await weights.pull(indices=batch.columns)
                await weights.push(step(batch, values), indices=batch.columns)

    Every so many updates go to Redis as one push, and what others pushed comes back with the
    answer. That is waited for in the next operation, so that it is on its way while the loop
    computes. A pull after a push has this loop's own updates, and those of others up to the last
    push that was sent; it asks Redis for nothing unless it needs other shards than were pulled
    since the push before, or more than 64. A pull that follows a pull asks Redis.

    What goes wrong with a push is raised by the operation after it, and that drops the updates that
    were in this push. When the block is left, everything was applied; when it is left with an
    exception, what was sent was applied once or not at all, and what was not sent is dropped, as
    for a call that is to be repeated.
    """

    def __init__(self, home: Home, window: Window) -> None:
        self._home = home
        self._window = window
        self._at: tuple[Place, Link] | None = None
        self._open: _Open[asyncio.Future[Answer]] | None = None

    async def pull(self, *, indices: ArrayLike | None = None) -> Pull:
        """Read the parameter, or some of it: `(values, version)`.

        Raises what `ParameterServer.pull` does, and what went wrong with the last push.
        """
        place, link = await self._settled()
        return await link.follow(self._window.pull(place, indices))

    async def push(self, delta: ArrayLike, *, indices: ArrayLike | None = None) -> None:
        """Add to the parameter, now or with one of the next pushes.

        Raises `TypeError`, `ValueError` or `IndexError` if the delta doesn't fit, and what went
        wrong with the last push.
        """
        place, link = await self._settled()
        if await link.follow(self._window.add(place, delta, indices)):
            await self._send(place, link)

    async def flush(self) -> None:
        """Send what waits, and wait until all was applied."""
        place, link = await self._settled()
        if self._window.waits:
            await self._send(place, link)
            await self._settled()

    async def _settled(self) -> tuple[Place, Link]:
        """Read the answer to the last push; raises what went wrong with it."""
        if self._at is None:
            raise RuntimeError(_NOT_ENTERED)
        place, link = self._at
        opened, self._open = self._open, None
        if opened is not None:
            try:
                await link.follow(opened.steps, await opened.sent)
            finally:
                opened.turn.over = True
        return place, link

    async def _send(self, place: Place, link: Link) -> None:
        turn = self._home.turn(place, self._window.what)
        try:
            steps = self._window.send(place, turn.begin())
            commands = next(steps)
            while not isinstance(commands, Later):
                commands = steps.send(await link.run(commands))
            self._open = _Open(steps, await link.begin(commands), turn)
        finally:
            if self._open is None:
                turn.over = True
        await asyncio.sleep(0)  # the connection's task sends it

    async def __aenter__(self) -> Self:
        if self._at is not None:
            raise RuntimeError(_ENTERED)
        self._at = await self._home.link()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self.flush()
        finally:
            self._at = None
            opened, self._open = self._open, None
            if opened is not None:
                opened.turn.over = True
                opened.sent.cancel()


_NOT_ENTERED = "a stream is for the block of its 'with': enter it, and don't use it afterwards"
_ENTERED = "this stream is entered already: make another one by stream(...) for a block within"
