# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Calls on Lambda: what a program sees is what it sees on its own machine."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.aws.backend.fronts import cloud

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Functions in here are lambdas or local: they travel by value, so that no test waits for an archive
# of all tests. What test_code.py holds is how modules travel.


def make_square() -> Any:
    def square(x: int) -> int:
        return x * x

    return square


async def test_map(fabric: Any, front: LambdaFront) -> None:
    executions = front.counters.executions
    assert await fabric.map(make_square(), range(20)) == [x * x for x in range(20)]
    assert 1 <= front.counters.executions - executions <= 20


async def test_nothing_to_do(fabric: Any, front: LambdaFront) -> None:
    requests = front.counters.requests
    assert await fabric.map(make_square(), []) == []
    assert front.counters.requests == requests


async def test_submit(fabric: Any) -> None:
    call = fabric.submit(lambda x, *, y: (x, y), 7, y="why")
    assert await call == (7, "why")


async def test_starmap(fabric: Any) -> None:
    assert await fabric.starmap(lambda x, y: x - y, [(5, 3), (1, 2)]) == [2, -1]


async def test_a_stream_in_order(fabric: Any) -> None:
    assert [x async for x in fabric.map(make_square(), range(30))] == [x * x for x in range(30)]


async def test_a_stream_as_completed(fabric: Any) -> None:
    async def inputs() -> Any:
        for x in range(10):
            yield x

    found = [x async for x in fabric.map(make_square(), inputs(), ordered=False)]
    assert sorted(found) == [x * x for x in range(10)]


async def test_as_completed(fabric: Any) -> None:
    found = {
        call.index: (call.input, call.result())
        async for call in af.as_completed(fabric.map(make_square(), [5, 6, 7]))
    }
    assert found == {0: (5, 25), 1: (6, 36), 2: (7, 49)}


async def test_coroutine_functions_run_together(fabric: Any, front: LambdaFront) -> None:
    """Each waits for the other, so one invocation has to run both."""

    async def meet(x: int) -> int:
        import asyncio
        import builtins

        here = builtins.__dict__.setdefault("_here", set())
        here.add(x)
        while len(here) < 2:  # noqa: ASYNC110 - the other one is no task of this
            await asyncio.sleep(0)
        return x

    assert await fabric.map(meet, [1, 2], chunksize=2) == [1, 2]


async def test_ask_and_tell(fabric: Any) -> None:
    """The next input depends on the last result: an invocation leaves although it isn't full."""
    told: asyncio.Queue[int] = asyncio.Queue()

    async def ask() -> Any:
        x = 2
        for _ in range(4):
            yield x
            x = await told.get()

    async with fabric.map(make_square(), ask(), ordered=False) as stream:
        seen = []
        async for x in stream:
            seen.append(x)
            told.put_nowait(x)
    assert seen == [4, 16, 256, 65536]


async def test_an_own_exception(fabric: Any) -> None:
    def fail(x: int) -> int:
        raise LookupError("no such thing", x)

    with pytest.raises(LookupError) as caught:
        await fabric.map(fail, [3])
    assert caught.value.args == ("no such thing", 3)
    assert 'raise LookupError("no such thing", x)' in str(caught.value.__cause__)
    (note,) = caught.value.__notes__
    assert "call 0 of " in note
    assert "attempt 1, on request " in note
    assert note.endswith("input 3")
    request = note.partition("on request ")[2].partition(",")[0]
    assert len(request) == 36


async def test_exceptions_among_results(fabric: Any) -> None:
    found = await fabric.map(lambda x: 6 // x, [1, 0, 3], return_exceptions=True)
    assert [found[0], found[2]] == [6, 2]
    assert isinstance(found[1], ZeroDivisionError)


@pytest.mark.parametrize("name", ["SystemExit", "KeyboardInterrupt", "StopIteration"])
async def test_what_can_not_be_raised_here(fabric: Any, front: LambdaFront, name: str) -> None:
    errors = front.counters.function_errors

    def leave() -> None:
        import builtins

        raise getattr(builtins, name)("over")

    with pytest.raises(af.RemoteError, match=f"{name}: over"):
        await fabric.submit(leave)
    assert front.counters.function_errors == errors  # the worker lives


async def test_logs(fabric: Any) -> None:
    def talk(x: int) -> int:
        import logging
        import sys

        print("out", x)
        print("err", x, file=sys.stderr)
        logging.getLogger("mine").warning("logged %d", x)
        return x

    calls = [call async for call in af.as_completed(fabric.map(talk, [1, 2], chunksize=2))]
    for call in calls:
        assert f"out {call.input}\n" in call.logs
        assert f"err {call.input}\n" in call.logs
        assert f"logged {call.input}" in call.logs
        assert f"out {3 - call.result()}" not in call.logs


async def test_attempts(fabric: Any) -> None:
    def work(x: int) -> int:
        import time

        time.sleep(0.01)
        return x

    (call,) = [each async for each in af.as_completed(fabric.map(work, [1]))]
    (attempt,) = call.attempts
    assert attempt.number == 1
    assert attempt.run >= 0.01
    assert attempt.queue > 0
    assert attempt.load > 0
    assert attempt.error is None
    assert attempt.peak_memory > 1_000_000
    assert attempt.worker.startswith("request ")


async def test_an_attempt_that_is_repeated(fabric: Any) -> None:
    def at_last() -> int:
        attempt = af.current().attempt
        if attempt < 3:
            raise ConnectionError(attempt)
        return attempt

    patient = fabric.with_options(retry=af.Retry(attempts=3, on=(ConnectionError,), base=0))
    call = patient.submit(at_last)
    assert await call == 3
    assert [each.number for each in call.attempts] == [1, 2, 3]
    assert [type(each.error) for each in call.attempts] == [
        ConnectionError,
        ConnectionError,
        type(None),
    ]


async def test_current(fabric: Any) -> None:
    def look(_: str) -> Any:
        import time

        me = af.current()
        left = None if me.deadline is None else me.deadline - time.time()
        return me.job, me.index, me.attempt, me.token, left, me.store.url, me.seed

    found = await fabric.with_options(timeout=20).map(look, "ab", seed=5)
    job = found[0][0]
    for index, (its_job, *rest) in enumerate(found):
        left = rest.pop(3)
        assert 0 < left <= 20
        assert its_job == job
        assert rest == [index, 1, f"{job}/{index}", fabric.store.url, 5]


async def test_the_deadline_is_300_seconds_by_default(fabric: Any) -> None:
    def left() -> float:
        import time

        return (af.current().deadline or 0.0) - time.time()

    assert 200 < await fabric.submit(left) <= 300


async def test_no_timeout_is_that_of_the_function(fabric: Any) -> None:
    def left() -> float:
        import time

        return (af.current().deadline or 0.0) - time.time()

    assert 800 < await fabric.with_options(timeout=None).submit(left) < 900


async def test_random_numbers_are_those_of_every_backend(fabric: Any) -> None:
    def draw(_: int) -> float:
        return float(af.current().rng().standard_normal())

    there = await fabric.map(draw, range(6), seed=11, chunksize=2)
    async with af.Fabric("inline://") as inline:
        assert there == await inline.map(draw, range(6), seed=11)
    assert len(set(there)) == 6


async def test_the_environment_is_in_force_while_calls_run(fabric: Any) -> None:
    def read() -> str | None:
        import os

        return os.environ.get("AF_TEST")

    assert await fabric.with_options(env={"AF_TEST": "yes"}).submit(read) == "yes"
    assert await fabric.submit(read) is None


async def test_shared_values(fabric: Any) -> None:
    table = np.arange(10)
    found = await fabric.map(lambda x, *, table: int(table[x]), [3, 4], shared={"table": table})
    assert found == [3, 4]


async def test_refs(fabric: Any) -> None:
    ref = await fabric.put([1, 2, 3])
    assert await fabric.submit(sum, ref) == 6
    assert await fabric.map(sum, [ref, [4, 5]]) == [6, 9]


async def test_results_by_reference(fabric: Any) -> None:
    refs = await fabric.map(lambda x: "x" * x, [3, 4], results="ref")
    assert all(isinstance(ref, af.Ref) for ref in refs)
    assert [await ref.get() for ref in refs] == ["xxx", "xxxx"]
    assert await fabric.submit(len, refs[1]) == 4


async def test_what_can_not_be_sent(fabric: Any) -> None:
    import threading

    with pytest.raises(af.SerializationError):
        await fabric.submit(len, threading.Lock())

    def lock() -> Any:
        import threading

        return threading.Lock()

    with pytest.raises(af.SerializationError, match="lock"):
        await fabric.submit(lock)


async def test_cold_is_the_first_invocation_of_an_environment(tmp_path: Path) -> None:
    def work(x: int) -> int:
        return x

    async with cloud(concurrency=1) as (front, fabric):
        calls: list[Any] = []
        for x in range(3):
            calls.append(fabric.submit(work, x))
            await calls[-1]
        assert [call.attempts[-1].cold for call in calls] == [True, False, False]
        await front.recycle()
        call = fabric.submit(work, 3)
        await call
        assert call.attempts[-1].cold
        assert front.counters.environments == 2


async def test_an_initializer_runs_once_in_an_environment() -> None:
    def prepare() -> None:
        import builtins

        builtins.__dict__["_prepared"] = builtins.__dict__.get("_prepared", 0) + 1

    def prepared(_: int) -> int:
        import builtins

        return int(builtins.__dict__.get("_prepared", 0))

    async with cloud(concurrency=1, options={"initializer": prepare}) as (front, fabric):
        assert await fabric.map(prepared, range(3), chunksize=1) == [1, 1, 1]
        assert front.counters.environments == 1
        await front.recycle()
        assert await fabric.submit(prepared, 0) == 1


async def test_an_initializer_that_fails(fabric: Any) -> None:
    def prepare() -> None:
        raise LookupError("not today")

    with pytest.raises(LookupError, match="not today"):
        await fabric.with_options(initializer=prepare).submit(len, "x")
