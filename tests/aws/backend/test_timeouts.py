# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnusedFunction=false
"""Timeouts: the worker keeps them, whatever the function does, and the billing stops."""

import asyncio
import contextlib
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.aws.backend.fronts import cloud

TIMEOUT = 0.3


def run_on(way: str) -> Any:  # noqa: C901 - one function after another
    """Return a function that doesn't end by itself."""

    def sleep(x: int = 0) -> None:
        import time

        time.sleep(60)

    def loop(x: int = 0) -> None:
        while True:
            pass

    def swallow(x: int = 0) -> None:
        import time

        while True:
            with contextlib.suppress(BaseException):
                time.sleep(60)

    def swallow_once(x: int = 0) -> str:
        import time

        with contextlib.suppress(BaseException):
            time.sleep(60)
        return "I went on"

    def hold_the_interpreter(x: int = 0) -> None:
        from collections import deque
        from itertools import repeat

        deque(repeat(0), maxlen=0)  # all of it in C

    def sleep_in_c(x: int = 0) -> None:
        import ctypes

        ctypes.PyDLL(None).sleep(60)

    def compute(x: int = 0) -> int:
        return len(str(7 ** (7**9)))

    def match(x: int = 0) -> Any:
        import re

        return re.match(r"(a+)+$", "a" * 60 + "b")

    async def wait(x: int = 0) -> None:
        import asyncio

        await asyncio.sleep(60)

    async def block(x: int = 0) -> None:
        import time

        time.sleep(60)

    async def refuse(x: int = 0) -> None:
        import asyncio

        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    return locals()[way]


STOPPED = ["sleep", "loop", "swallow_once", "wait", "sleep_in_c", "compute", "match"]
"""These are ended in their worker, which goes on."""
ENDED = ["swallow", "hold_the_interpreter", "block", "refuse"]
"""With these, the worker has to end."""


@pytest.mark.parametrize("way", STOPPED)
async def test_a_call_is_stopped(way: str) -> None:
    async with cloud(concurrency=1, options={"timeout": TIMEOUT}) as (front, fabric):
        call = fabric.submit(run_on(way))
        with pytest.raises(af.AttemptTimeout, match=r"timeout=0.3 s; give a larger") as caught:
            await call
        assert isinstance(caught.value, TimeoutError)
        assert len(call.attempts) == 1
        await front.until(lambda counters: counters.running == 0)
        assert await fabric.submit(lambda: 1) == 1
        assert (front.counters.environments, front.counters.executions) == (1, 2)


async def test_workers_are_ended() -> None:
    ways = len(ENDED)
    async with cloud(concurrency=ways, options={"timeout": TIMEOUT}) as (front, fabric):
        calls = [fabric.submit(run_on(way)) for way in ENDED]
        await asyncio.wait(calls)
        for call in calls:
            assert isinstance(call.exception(), af.AttemptTimeout)
            assert "timeout=0.3 s, nor could it be stopped" in str(call.exception())
            assert "request id" in str(call.exception())
            assert len(call.attempts) == 1
        await front.until(lambda counters: counters.running == 0)
        assert (front.counters.environments, front.counters.executions) == (ways, ways)
        assert await fabric.submit(lambda: 1) == 1
        assert front.counters.environments == ways + 1


async def test_where_it_was() -> None:
    async with cloud(concurrency=1, options={"timeout": TIMEOUT}) as (_, fabric):
        with pytest.raises(af.AttemptTimeout) as caught:
            await fabric.submit(run_on("sleep"))
        assert "time.sleep(60)" in str(caught.value.__cause__)


async def test_the_others_of_a_chunk_are_not_affected() -> None:
    def work(x: int) -> int:
        import time
        from collections import deque
        from itertools import repeat

        if x == 1:
            time.sleep(60)
        if x == 4:
            deque(repeat(0), maxlen=0)
        return x

    # With copies: those of a chunk that ends its worker do so, too.
    options = {"timeout": TIMEOUT, "hedge": af.Hedge()}
    async with cloud(concurrency=2, options=options) as (_, fabric):
        found = await fabric.map(work, range(6), chunksize=3, return_exceptions=True)
    assert [type(found.pop(4)), type(found.pop(1))] == [af.AttemptTimeout] * 2
    assert found == [0, 2, 3, 5]


async def test_a_timeout_is_not_repeated_unless_it_is_asked_for() -> None:
    retry = af.Retry(attempts=2, on=(TimeoutError,), base=0)
    async with cloud(concurrency=1, options={"timeout": TIMEOUT}) as (front, fabric):
        with pytest.raises(af.AttemptTimeout):
            await fabric.submit(run_on("sleep"))
        assert front.counters.executions == 1
        with pytest.raises(af.AttemptTimeout):
            await fabric.with_options(retry=retry).submit(run_on("sleep"))
        assert front.counters.executions == 3


async def test_the_functions_own_time_is_kept_without_a_timeout() -> None:
    """Its calls get an answer before Lambda ends them."""
    async with cloud(concurrency=1, timeout=3.0, options={"timeout": None}) as (front, fabric):
        with pytest.raises(af.AttemptTimeout, match="did not finish within timeout=1"):
            await fabric.submit(run_on("sleep"))
        with pytest.raises(af.AttemptTimeout):
            await fabric.submit(run_on("wait"))
        assert front.counters.function_errors == 0
        assert front.counters.environments == 1


async def test_time_to_load_code_is_not_the_calls() -> None:
    """Large packages take longer to import than a call may take."""

    def prepare() -> None:
        import time

        time.sleep(4)

    async def wait() -> int:
        return 2

    options = {"timeout": TIMEOUT, "initializer": prepare}
    async with cloud(concurrency=2, options=options) as (front, fabric):
        calls = fabric.submit(lambda: 1), fabric.submit(wait)
        assert await af.gather(*calls) == (1, 2)
        assert (front.counters.environments, front.counters.function_errors) == (2, 0)


async def test_short_calls_are_many_in_an_invocation_of_short_timeout() -> None:
    async with cloud(concurrency=1, options={"timeout": TIMEOUT}) as (front, fabric):
        assert await fabric.map(lambda x: x, range(5000), chunksize=1000) == list(range(5000))
        assert front.counters.executions == 5


async def test_a_worker_keeps_its_own_use_of_the_alarm(front_of_one: LambdaFront) -> None:
    """A function that sets an alarm of its own takes the limit off, and harms nobody after it."""

    def own() -> str:
        import signal
        import time

        rung = []
        signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(0.1)
        return f"rung {len(rung)} times"

    async with af.Fabric(front_of_one.backend, max_concurrency=1, timeout=5) as fabric:
        assert await fabric.submit(own) == "rung 1 times"
        with pytest.raises(af.AttemptTimeout):
            await fabric.with_options(timeout=TIMEOUT).submit(run_on("sleep"))


@pytest.fixture
async def front_of_one() -> Any:
    """A front of the test's own."""
    async with LambdaFront() as front:
        yield front
