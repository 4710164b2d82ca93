"""Leaving a stream: it launches nothing more, and its input is closed."""

import asyncio
import gc
import itertools
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import passes, take, until
from tests.api.work import mark_and_wait_async, noted, square, square_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

functions = pytest.mark.parametrize("function", [square, square_async])


class Inputs:
    """Endless inputs that count how far they were read and know whether they were closed."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = False

    def plain(self) -> Iterator[int]:
        for x in itertools.count():
            self.read = x + 1
            yield x

    async def asynchronous(self) -> AsyncIterator[int]:
        try:
            for x in self.plain():
                yield x
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # an asynchronous clean-up
            self.closed = True


async def stands_still(inputs: Inputs) -> None:
    """Give the pump every chance to read on."""
    await passes()
    read = inputs.read
    await passes(300)
    assert inputs.read == read


@functions
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_break_out_of_an_unnamed_stream(
    fabric: af.Fabric, function: Any, asynchronous: bool
) -> None:
    inputs = Inputs()
    items = inputs.asynchronous() if asynchronous else inputs.plain()
    async for value in fabric.map(function, items):
        if value > 100:
            break
    await stands_still(inputs)
    if asynchronous:
        await until(lambda: inputs.closed)
    assert await fabric.submit(square, 3) == 9


@functions
async def test_an_exception_in_the_body_of_an_unnamed_stream(
    fabric: af.Fabric, function: Any
) -> None:
    inputs = Inputs()

    async def consume() -> None:
        async for value in fabric.map(function, inputs.asynchronous()):
            if value > 100:
                raise LookupError

    with pytest.raises(LookupError):
        await consume()
    gc.collect()  # the traceback held the frame
    await stands_still(inputs)
    await until(lambda: inputs.closed)


@functions
@pytest.mark.parametrize("asynchronous", [True, False])
async def test_a_named_stream_ends_with_its_async_with(
    fabric: af.Fabric, function: Any, asynchronous: bool
) -> None:
    inputs = Inputs()
    items = inputs.asynchronous() if asynchronous else inputs.plain()
    async with fabric.map(function, items) as stream:
        async for value in stream:
            if value > 100:
                break
    assert inputs.closed == asynchronous
    await stands_still(inputs)
    rest: list[int] = []
    await take(stream, rest)  # what had come before
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@functions
async def test_a_named_stream_ends_at_aclose(fabric: af.Fabric, function: Any) -> None:
    inputs = Inputs()
    stream = fabric.map(function, inputs.asynchronous(), buffersize=10)
    async for value in stream:
        if value > 100:
            break
    await until(lambda: stream.stats.in_flight == 0)
    assert not inputs.closed
    await stands_still(inputs)  # at its buffer
    assert inputs.read <= 11 + 1 + 10
    await stream.aclose()
    assert inputs.closed
    await stream.aclose()


async def test_a_dropped_map_stops(fabric: af.Fabric) -> None:
    inputs = Inputs()
    stream = fabric.map(square, inputs.asynchronous()).start()
    await until(lambda: inputs.read > 10)
    dropped = weakref.ref(stream)
    del stream
    assert dropped() is None, "something besides the user holds the Map"
    await until(lambda: inputs.closed)
    await stands_still(inputs)


async def test_leaving_as_completed(fabric: af.Fabric) -> None:
    inputs = Inputs()
    calls = af.as_completed(fabric.map(square, inputs.asynchronous()))
    while (await anext(calls)).result() <= 100:
        pass
    del calls
    await stands_still(inputs)
    await until(lambda: inputs.closed)


async def test_a_failed_map_closes_its_input_when_dropped(fabric: af.Fabric) -> None:
    inputs = Inputs()
    failing = fabric.map(_fail_late, inputs.asynchronous())
    with pytest.raises(ValueError, match="late"):
        await failing
    await stands_still(inputs)
    del failing
    # Answers on their way hold its run a little longer.
    await until(lambda: gc.collect() >= 0 and inputs.closed)


def _fail_late(x: int) -> int:
    if x > 20:
        raise ValueError("late")
    return x


@pytest.mark.parametrize("break_out", [True, False])
async def test_what_runs_is_cancelled(local: af.Fabric, tmp_path: Path, break_out: bool) -> None:
    inputs = [(str(tmp_path), x) for x in range(4)]
    stream = local.starmap(mark_and_wait_async, inputs).start()
    await until(lambda: len(noted(tmp_path)) == 4)
    if break_out:
        del stream
    else:
        await stream.aclose()
    await until(lambda: {f"cancelled {x}" for x in range(4)} <= set(noted(tmp_path)))


async def test_a_map_in_a_cycle_is_collected(fabric: af.Fabric) -> None:
    inputs = Inputs()
    cycle: list[Any] = [fabric.map(square, inputs.asynchronous()).start()]
    cycle.append(cycle)
    await until(lambda: inputs.read > 10)
    del cycle
    gc.collect()
    await until(lambda: inputs.closed)


async def test_an_input_that_will_not_close(fabric: af.Fabric) -> None:
    """What its clean-up raises is reported to the loop, not swallowed."""
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def inputs() -> AsyncIterator[int]:
        try:
            for x in itertools.count():
                yield x
        finally:
            raise LookupError("the cursor is gone")

    async for value in fabric.map(square, inputs()):
        if value > 100:
            break
    await until(lambda: [True for each in reported if isinstance(each["exception"], LookupError)])
    with pytest.raises(LookupError, match="the cursor is gone"):
        async with fabric.map(square, inputs()) as stream:
            await anext(stream)
    assert await fabric.submit(square, 3) == 9


async def test_an_input_that_will_not_close_while_it_waits(fabric: af.Fabric) -> None:
    async def inputs() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            raise LookupError("the cursor is gone")

    stream = fabric.map(square, inputs())
    assert await anext(stream) == 1
    await passes()
    with pytest.raises(LookupError, match="the cursor is gone"):
        await stream.aclose()
