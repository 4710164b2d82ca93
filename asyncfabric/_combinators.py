"""`gather` and `as_completed`: waiting for several calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from ._call import Call
from ._map import Map

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Self

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")


@overload
async def gather(a: Awaitable[A], /, *, return_exceptions: Literal[False] = False) -> tuple[A]: ...
@overload
async def gather(
    a: Awaitable[A], b: Awaitable[B], /, *, return_exceptions: Literal[False] = False
) -> tuple[A, B]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    /,
    *,
    return_exceptions: Literal[False] = False,
) -> tuple[A, B, C]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    /,
    *,
    return_exceptions: Literal[False] = False,
) -> tuple[A, B, C, D]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    /,
    *,
    return_exceptions: Literal[False] = False,
) -> tuple[A, B, C, D, E]: ...
@overload
async def gather(
    a: Awaitable[A], /, *, return_exceptions: Literal[True]
) -> tuple[A | Exception]: ...
@overload
async def gather(
    a: Awaitable[A], b: Awaitable[B], /, *, return_exceptions: Literal[True]
) -> tuple[A | Exception, B | Exception]: ...
@overload
async def gather(
    a: Awaitable[A], b: Awaitable[B], c: Awaitable[C], /, *, return_exceptions: Literal[True]
) -> tuple[A | Exception, B | Exception, C | Exception]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    /,
    *,
    return_exceptions: Literal[True],
) -> tuple[A | Exception, B | Exception, C | Exception, D | Exception]: ...
@overload
async def gather(
    a: Awaitable[A],
    b: Awaitable[B],
    c: Awaitable[C],
    d: Awaitable[D],
    e: Awaitable[E],
    /,
    *,
    return_exceptions: Literal[True],
) -> tuple[A | Exception, B | Exception, C | Exception, D | Exception, E | Exception]: ...
@overload
async def gather(
    *calls: Awaitable[R], return_exceptions: Literal[False] = False
) -> tuple[R, ...]: ...
@overload
async def gather(*calls: Awaitable[R], return_exceptions: bool) -> tuple[R | Exception, ...]: ...
async def gather(*calls: Awaitable[Any], return_exceptions: bool = False) -> tuple[Any, ...]:
    """Wait for all and return their results as a tuple, in the order given.

    The first failure cancels the others, waits until they have ended, and is raised itself, not as
    part of a group. With `return_exceptions` nothing is cancelled, and exceptions stand in the
    results' places. Cancelling the gather cancels everything in it.

        price, names = await asyncfabric.gather(fabric.submit(f, 1), fabric.submit(g, "x"))
    """
    futures = [asyncio.ensure_future(_awaited(call)) for call in calls]
    try:
        if return_exceptions:
            if futures:
                await asyncio.wait(futures)
            return tuple(_result_or_exception(future) for future in futures)
        return tuple(await asyncio.gather(*futures))
    finally:
        pending = [future for future in futures if not future.done()]
        for future in pending:
            future.cancel()
        if pending:
            await asyncio.wait(pending)
        for future in futures:
            if not future.cancelled():
                future.exception()  # seen: the first one is raised


def _awaited(call: Awaitable[R]) -> Any:  # noqa: ANN401 - what ensure_future takes
    return call if asyncio.isfuture(call) or asyncio.iscoroutine(call) else _wait(call)


async def _wait(call: Awaitable[R]) -> R:
    return await call


def _result_or_exception(future: asyncio.Future[Any]) -> Any:  # noqa: ANN401
    if future.cancelled():
        return asyncio.CancelledError()
    error = future.exception()
    if error is not None and not isinstance(error, Exception):
        raise error
    return future.result() if error is None else error


def as_completed(
    calls: Map[R] | Iterable[Call[R]] | AsyncIterable[Call[R]], /
) -> AsyncIterator[Call[R]]:
    """Iterate over calls as they end, the failed ones too; nothing is cancelled.

        async for call in asyncfabric.as_completed(fabric.map(price, seeds)):
            print(call.index, call.input, call.result())

    Given calls, however they come, each is yielded once. Leaving the loop stops an unnamed map.
    """
    given: Any = calls  # whatever the caller gave, not only what the types promise
    if isinstance(given, Map):
        return _MapCalls(cast("Map[R]", given))
    if isinstance(given, AsyncIterable):
        return _Completions((), cast("AsyncIterable[Call[R]]", given))
    if isinstance(given, Iterable):
        return _Completions(cast("Iterable[Call[R]]", given), None)
    msg = f"as_completed() takes a Map or calls, not {type(calls).__name__}"
    raise TypeError(msg)


class _MapCalls(AsyncIterator[Call[R]]):
    """A map's calls. A class, not a generator: dropping it drops the map at once."""

    def __init__(self, calls: Map[R]) -> None:
        self._map = calls

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Call[R]:
        return await self._map.next_call()


class _Completions(AsyncIterator[Call[R]]):
    """Calls that were handed out before, in the order in which they end."""

    def __init__(self, calls: Iterable[Call[R]], more: AsyncIterable[Call[R]] | None) -> None:
        self._ended: deque[Call[R]] = deque()
        self._known: set[Call[R]] = set()
        self._left = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None
        self._more = more
        for call in calls:
            self._add(call)

    def _add(self, given: Any) -> None:  # noqa: ANN401 - whatever the caller gave
        if not isinstance(given, Call):
            msg = f"as_completed() yields the Calls of fabric.submit(), not {type(given).__name__}"
            raise TypeError(msg)
        call = cast("Call[R]", given)
        if call in self._known:
            return
        self._known.add(call)
        self._left += 1
        if call.done():
            self._end(call)
        else:
            call.add_done_callback(self._end)

    def _end(self, call: asyncio.Future[R]) -> None:
        assert isinstance(call, Call)  # noqa: S101 - only Calls were added
        self._ended.append(call)
        self._changed.set()

    async def _read(self, more: AsyncIterable[Call[R]]) -> None:
        try:
            async for call in more:
                self._add(call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the calls are awaited
            self._error = error
        finally:
            self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Call[R]:
        if self._more is not None:
            self._reader = asyncio.ensure_future(self._read(self._more))
            self._more = None
        while not self._ended:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if not self._left and (self._reader is None or self._reader.done()):
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        self._left -= 1
        call = self._ended.popleft()
        self._known.discard(call)
        return call

    def __del__(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None and not reader.done() and not reader.get_loop().is_closed():
            reader.get_loop().call_soon_threadsafe(reader.cancel)
