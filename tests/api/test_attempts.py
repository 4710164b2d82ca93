"""Timeouts, retries, crashes, initializers, environment and what a call printed."""

import asyncio
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import until, untyped
from tests.api.work import note, noted, pid, square

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOREVER = 60.0


def sleep_if(bad: int, x: int) -> int:
    """In C code, which no exception from outside interrupts."""
    if x == bad:
        time.sleep(FOREVER)
    return x


def spin_if(bad: int, x: int) -> int:
    while x == bad:
        pass
    return x


async def sleep_if_async(bad: int, x: int) -> int:
    if x == bad:
        await asyncio.sleep(FOREVER)
    return x


@pytest.mark.parametrize("function", [sleep_if, spin_if, sleep_if_async])
@pytest.mark.parametrize("chunksize", [1, 10])
async def test_a_timeout_ends_one_attempt_and_harms_no_neighbour(
    own: af.Fabric, function: Any, chunksize: int
) -> None:
    hasty = own.with_options(timeout=0.3)
    inputs = [(4, x) for x in range(10)]
    results = await hasty.starmap(function, inputs, chunksize=chunksize, return_exceptions=True)
    error = results.pop(4)
    assert results == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert isinstance(error, af.AttemptTimeout)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, af.InvocationError)
    assert "larger timeout=" in str(error)
    assert function.__name__ in str(error.__cause__)


async def test_a_timeout_in_an_inline_coroutine(inline: af.Fabric) -> None:
    with pytest.raises(af.AttemptTimeout):
        await inline.with_options(timeout=0.01).submit(sleep_if_async, 1, 1)


async def test_a_timeout_error_of_the_functions_own_is_no_attempt_timeout(
    fabric: af.Fabric,
) -> None:
    with pytest.raises(TimeoutError, match="mine") as caught:
        await fabric.with_options(timeout=30).submit(_own_timeout)
    assert type(caught.value) is TimeoutError


def _own_timeout() -> None:
    raise TimeoutError("mine")


async def test_timeouts_are_retried_only_when_asked_for(own: af.Fabric, tmp_path: Path) -> None:
    hasty = own.with_options(timeout=0.2)
    with pytest.raises(af.AttemptTimeout):
        await hasty.submit(_hang_at_first, str(tmp_path / "a"))
    again = hasty.with_options(retry=af.Retry(on=(TimeoutError,), base=0.0))
    call = again.submit(_hang_at_first, str(tmp_path / "b"))
    assert await call == 2
    assert [type(attempt.error) for attempt in call.attempts] == [af.AttemptTimeout, type(None)]


def _hang_at_first(directory: str) -> int:
    Path(directory).mkdir(exist_ok=True)
    note(directory, "run")
    if af.current().attempt == 1:
        time.sleep(FOREVER)
    return af.current().attempt


async def test_the_deadline_is_known_inside(fabric: af.Fabric) -> None:
    left = await fabric.with_options(timeout=1000).submit(_time_left)
    assert 900 < left <= 1000


def _time_left() -> float:
    deadline = af.current().deadline
    assert deadline is not None
    return deadline - time.time()


# -- retries --------------------------------------------------------------------------------------


def flaky(failures: int, x: int) -> int:
    if af.current().attempt <= failures:
        raise ConnectionError(f"attempt {af.current().attempt}")
    return x


async def test_retries_of_listed_errors(fabric: af.Fabric) -> None:
    stubborn = fabric.with_options(retry=af.Retry(attempts=3, on=(OSError,), base=0.0))
    call = stubborn.submit(flaky, 2, 7)
    assert await call == 7
    assert [attempt.number for attempt in call.attempts] == [1, 2, 3]
    assert [str(attempt.error) for attempt in call.attempts] == ["attempt 1", "attempt 2", "None"]
    assert await stubborn.starmap(flaky, [(x % 3, x) for x in range(20)]) == list(range(20))
    failing = stubborn.submit(flaky, 3, 7)
    with pytest.raises(ConnectionError, match="attempt 3"):
        await failing
    assert len(failing.attempts) == 3
    with pytest.raises(ConnectionError, match="attempt 1"):
        await fabric.submit(flaky, 1, 7)
    with pytest.raises(ConnectionError, match="attempt 1"):
        await stubborn.with_options(retry=None).submit(flaky, 1, 7)
    with pytest.raises(ConnectionError, match="attempt 1"):
        await stubborn.with_options(idempotent=False).submit(flaky, 1, 7)


def die_at_first(directory: str, bad: int, x: int) -> int:
    note(directory, x)
    if x == bad and noted(directory)[str(x)] == 1:
        os._exit(3)
    return x


async def test_a_crash_costs_one_attempt(own: af.Fabric, tmp_path: Path) -> None:
    inputs = [(str(tmp_path), 5, x) for x in range(20)]
    assert await own.starmap(die_at_first, inputs, chunksize=4) == list(range(20))
    assert noted(tmp_path)["5"] == 2
    call = own.submit(die_at_first, str(tmp_path), 100, 100)
    assert await call == 100
    assert [type(attempt.error) for attempt in call.attempts] == [af.WorkerCrashed, type(None)]


async def test_what_must_not_run_twice_does_not(own: af.Fabric, tmp_path: Path) -> None:
    once = own.with_options(idempotent=False)
    inputs = [(str(tmp_path), 5, x) for x in range(20)]
    results = await once.starmap(die_at_first, inputs, chunksize=4, return_exceptions=True)
    assert isinstance(results[5], af.WorkerCrashed)
    assert [x for x in results if isinstance(x, int)] == [x for x in range(20) if x != 5]
    assert noted(tmp_path) == {str(x): 1 for x in range(20)}


async def test_coroutine_calls_of_a_dead_worker_each_have_their_own_error(
    own: af.Fabric, tmp_path: Path
) -> None:
    once = own.with_options(idempotent=False)
    inputs = [(str(tmp_path), x) for x in range(4)]
    errors = await once.starmap(_die_together, inputs, chunksize=4, return_exceptions=True)
    for index, error in enumerate(errors):
        assert isinstance(error, af.WorkerCrashed)
        assert len(error.__notes__) == 1
        assert f"call {index} of" in error.__notes__[0]


async def _die_together(directory: str, x: int) -> None:
    note(directory, x)
    await until(lambda: len(noted(directory)) == 4)
    os._exit(3)


# -- what a call leaves ---------------------------------------------------------------------------


def talk(x: int) -> int:
    print("printed", x)
    print("to stderr", x, file=sys.stderr)
    logging.getLogger("talk").warning("logged %d", x)
    return x


async def talk_async(x: int) -> int:
    print("begin", x)
    await asyncio.sleep(0)
    print("end", x)
    return x


async def test_attempts_and_logs(local: af.Fabric) -> None:
    call = local.submit(talk, 3)
    assert call.attempts == []
    assert call.logs == ""
    await call
    assert call.logs.splitlines()[:2] == ["printed 3", "to stderr 3"]
    assert "logged 3" in call.logs.splitlines()[2]
    (attempt,) = call.attempts
    assert (attempt.number, attempt.error) == (1, None)
    assert attempt.worker.startswith("process ")
    assert attempt.run > 0
    assert attempt.peak_memory > 1_000_000
    assert attempt.shared_by >= 1


async def test_each_call_has_its_own_logs(fabric: af.Fabric) -> None:
    calls = [call async for call in af.as_completed(fabric.map(talk_async, range(5), chunksize=5))]
    assert [call.logs.split() for call in calls] == [
        ["begin", str(x), "end", str(x)] for x in range(5)
    ]
    failing = fabric.submit(_print_and_fail)
    with pytest.raises(ValueError, match="after printing"):
        await failing
    assert failing.logs == "last words\n"


def _print_and_fail() -> None:
    print("last words")
    raise ValueError("after printing")


async def test_output_is_bounded(local: af.Fabric) -> None:
    call = local.submit(_print_much)
    await call
    assert len(call.logs) < 80_000
    assert call.logs.startswith("first")
    assert call.logs.endswith("last\n")
    assert "left out" in call.logs


def _print_much() -> None:
    tee = untyped(sys.stdout)
    stream, tee._stream = tee._stream, None  # not into the test's own output
    print("first")
    for _ in range(10):
        print("x" * 1_000_000)
    print("last")
    tee._stream = stream


# -- initializer, env, views ----------------------------------------------------------------------


async def test_an_initializer_runs_once_per_process(own: af.Fabric, tmp_path: Path) -> None:
    directory = str(tmp_path)

    def initialize() -> None:
        note(directory, os.getpid())

    ready = own.with_options(initializer=initialize)
    pids = set(await ready.map(pid, range(50), chunksize=1))
    pids |= set(await ready.map(pid, range(50), chunksize=1))
    found = noted(tmp_path)
    assert found.keys() >= set(map(str, pids))  # a worker may have begun as the last call ended
    assert set(found.values()) == {1}


async def test_an_initializer_that_fails(own: af.Fabric) -> None:
    broken = own.with_options(initializer=_fail_to_initialize)
    for _ in range(3):
        with pytest.raises(LookupError, match="no licence"):
            await broken.map(square, range(3))
    assert await own.submit(square, 3) == 9


def _fail_to_initialize() -> None:
    raise LookupError("no licence")


async def test_environments(fabric: af.Fabric) -> None:
    one, two = (fabric.with_options(env={"FLAVOUR": name}) for name in ("one", "two"))
    before = dict(os.environ)
    found = await asyncio.gather(*(view.submit(_flavour) for view in (one, two, fabric, one)))
    assert found == ["one", "two", None, "one"]
    assert dict(os.environ) == before


def _flavour() -> str | None:
    return os.environ.get("FLAVOUR")


async def test_views_share_the_workers(local: af.Fabric) -> None:
    view = local.with_options(timeout=30)
    ours, theirs = set[int](), set[int]()
    while min(len(ours), len(theirs)) < 2:  # one worker may have done it all
        ours |= set(await local.map(pid, range(64), chunksize=1))
        theirs |= set(await view.map(pid, range(64), chunksize=1))
    assert ours == theirs
    assert view.store is local.store
    async with view:
        assert await view.submit(square, 3) == 9
    with pytest.raises(RuntimeError, match="closed"):
        untyped(view).submit(square, 3)
    assert await local.submit(square, 3) == 9
