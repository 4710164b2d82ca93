"""What a function raises is raised here, as it is where that is possible."""

import asyncio
import errno
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.backends._inline import InlineBackend
from asyncfabric_runtime import Envelope
from tests.api.until import take, until, untyped
from tests.api.work import fail, mark_and_wait_async, note, noted, odd_fails, square

pytestmark = pytest.mark.asyncio(loop_scope="module")


class PlainError(Exception):
    pass


class NeedsArgumentsError(Exception):
    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} in {where}")
        self.code = code
        self.where = where


class HoldsLockError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class BrokenTextError(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


class BrokenPickleError(Exception):
    def __reduce__(self) -> Any:
        raise LookupError("no pickle")


class BrokenUnpickleError(Exception):
    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise LookupError("no unpickle")


def raise_(error: Any) -> None:
    raise error


def raise_of(make: Any) -> None:
    raise make()


async def raise_of_async(make: Any) -> None:
    await asyncio.sleep(0)
    raise make()


raisers = pytest.mark.parametrize("function", [raise_of, raise_of_async])


async def raised(fabric: af.Fabric, make: Any, function: Any = raise_of) -> BaseException:
    with pytest.raises(BaseException) as caught:
        await fabric.submit(function, make)
    return caught.value


@raisers
async def test_the_users_own_type_with_its_remote_traceback(
    fabric: af.Fabric, function: Any
) -> None:
    error = await raised(fabric, PlainError, function)
    assert type(error) is PlainError
    assert "raise make()" in str(error.__cause__)
    assert "test_errors.py" in str(error.__cause__)
    assert "asyncfabric_runtime" not in str(error.__cause__)


async def test_the_note_names_input_index_and_attempt(fabric: af.Fabric) -> None:
    with pytest.raises(ValueError, match="odd: 3") as caught:
        await fabric.map(odd_fails, [0, 2, 3, 4])
    (text,) = caught.value.__notes__
    assert "call 2 of" in text
    assert "attempt 1" in text
    assert "input 3" in text


async def test_the_note_of_a_huge_input_is_short(fabric: af.Fabric) -> None:
    with pytest.raises(ValueError, match="failed") as caught:
        await fabric.map(fail, ["x" * 1_000_000])
    assert len(caught.value.__notes__[0]) < 1000


@raisers
async def test_required_constructor_arguments(fabric: af.Fabric, function: Any) -> None:
    def make() -> NeedsArgumentsError:
        return NeedsArgumentsError(7, where="here")

    error = await raised(fabric, make, function)
    assert isinstance(error, NeedsArgumentsError)
    assert (error.code, error.where, str(error)) == (7, "here", "7 in here")


@raisers
async def test_groups(fabric: af.Fabric, function: Any) -> None:
    def make() -> BaseException:
        return ExceptionGroup(
            "two",
            [NeedsArgumentsError(1, where="a"), ExceptionGroup("one", [OSError(2, "no", "f")])],
        )

    error = await raised(fabric, make, function)
    assert isinstance(error, ExceptionGroup)
    first, second = untyped(error).exceptions
    assert isinstance(first, NeedsArgumentsError)
    assert first.where == "a"
    assert isinstance(second, ExceptionGroup)
    assert isinstance(untyped(second).exceptions[0], FileNotFoundError)


async def test_a_group_with_what_cannot_be_sent(fabric: af.Fabric) -> None:
    error = await raised(fabric, lambda: ExceptionGroup("one", [HoldsLockError()]))
    assert isinstance(error, af.RemoteError)
    assert error.type_name == "ExceptionGroup"
    assert "holds a lock" in str(error.__cause__)


async def test_os_errors(fabric: af.Fabric) -> None:
    error = await raised(fabric, lambda: OSError(errno.ENOENT, "none", "a", None, "b"))
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename, error.filename2) == (errno.ENOENT, "a", "b")
    reset = await raised(fabric, lambda: ConnectionResetError(errno.ECONNRESET, "reset"))
    assert isinstance(reset, ConnectionResetError)
    assert reset.errno == errno.ECONNRESET


@raisers
@pytest.mark.parametrize(
    "kind",
    [
        KeyboardInterrupt,
        SystemExit,
        GeneratorExit,
        StopIteration,
        StopAsyncIteration,
        asyncio.CancelledError,
        BaseException,
    ],
)
async def test_what_would_steer_the_driver_becomes_a_remote_error(
    fabric: af.Fabric, function: Any, kind: type[BaseException]
) -> None:
    error = await raised(fabric, kind, function)
    if function is raise_of_async and kind in (StopIteration, StopAsyncIteration):
        # Python itself makes a RuntimeError of a StopIteration that leaves a coroutine.
        assert isinstance(error, RuntimeError | af.RemoteError)
    else:
        assert isinstance(error, af.RemoteError)
        assert error.type_name == kind.__name__
        assert kind.__name__ in str(error)
    assert "raise make()" in str(error.__cause__)
    assert await fabric.submit(square, 3) == 9


@pytest.mark.parametrize("kind", [HoldsLockError, BrokenPickleError, BrokenUnpickleError])
@raisers
async def test_what_cannot_be_pickled_becomes_a_remote_error(
    fabric: af.Fabric, function: Any, kind: Any
) -> None:
    error = await raised(fabric, kind, function)
    assert isinstance(error, af.RemoteError)
    assert error.type_name == kind.__name__
    assert kind.__name__ in str(error.__cause__)


async def test_a_text_that_cannot_be_made(fabric: af.Fabric) -> None:
    error = await raised(fabric, BrokenTextError)
    assert isinstance(error, af.RemoteError)
    assert error.type_name == "BrokenTextError"


async def test_a_huge_message(fabric: af.Fabric) -> None:
    error = await raised(fabric, lambda: ValueError("x" * 5_000_000))
    assert isinstance(error, ValueError)
    assert len(str(error)) == 5_000_000
    assert len(str(error.__cause__)) < 200_000


async def test_a_class_that_travels_by_value(fabric: af.Fabric) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("class Local(Exception): pass\ndef boom(x): raise Local(x)", scope)
    with pytest.raises(scope["Local"]) as caught:
        await fabric.submit(scope["boom"], 3)
    assert caught.value.args == (3,)


async def test_causes_and_contexts_are_in_the_text(fabric: af.Fabric) -> None:
    def chained(x: int) -> float:
        try:
            return 1 / x
        except ZeroDivisionError as error:
            raise PlainError("outer") from error

    with pytest.raises(PlainError) as caught:
        await fabric.submit(chained, 0)
    assert "ZeroDivisionError" in str(caught.value.__cause__)


async def test_the_first_failure_cancels_the_siblings_and_is_raised_itself(
    local: af.Fabric, tmp_path: Path
) -> None:
    inputs = [(str(tmp_path), x) for x in range(3)]
    with pytest.raises(ValueError, match="three are waiting"):
        await local.starmap(_wait_or_fail, [*inputs, (str(tmp_path), -1)], chunksize=1)
    await until(lambda: {f"cancelled {x}" for x in range(3)} <= set(noted(tmp_path)))


async def _wait_or_fail(directory: str, x: int) -> int:
    if x < 0:
        await until(lambda: len(noted(directory)) == 3)
        raise ValueError("three are waiting")
    return await mark_and_wait_async(directory, x)


async def test_nothing_is_launched_after_a_failure(fabric: af.Fabric, tmp_path: Path) -> None:
    inputs = [(str(tmp_path), x) for x in range(2000)]
    with pytest.raises(ValueError, match="at once"):
        await fabric.starmap(_note_and_fail, inputs, chunksize=1)
    assert len(noted(tmp_path)) < 100


def _note_and_fail(directory: str, x: int) -> None:
    note(directory, x)
    raise ValueError("at once")


async def test_a_failure_in_an_ordered_stream_comes_in_its_place(fabric: af.Fabric) -> None:
    for chunksize in (1, 4, 50):
        taken: list[int] = []
        with pytest.raises(ValueError, match="odd: 11"):
            await take(
                fabric.map(
                    odd_fails, [*range(0, 10, 2), 11, *range(0, 10, 2)], chunksize=chunksize
                ),
                taken,
            )
        assert taken == [0, 2, 4, 6, 8]


async def test_unpicklable_results_and_inputs(fabric: af.Fabric) -> None:
    with pytest.raises(af.SerializationError, match="lock"):
        await fabric.submit(_lock)
    with pytest.raises(af.SerializationError, match="lock") as caught:
        await untyped(fabric).map(square, [1, threading.Lock(), 3])
    assert "call 1 of" in caught.value.__notes__[-1]
    results = await fabric.map(_echo, [1, threading.Lock(), 3], return_exceptions=True)
    assert (results[0], results[2]) == (1, 3)
    assert isinstance(results[1], af.SerializationError)
    lock = threading.Lock()
    with pytest.raises(af.SerializationError, match="lock"):
        await fabric.map(lambda x: lock, [1])


def _lock() -> object:
    return threading.Lock()


def _echo(x: object) -> object:
    return x


async def test_gather(local: af.Fabric, tmp_path: Path) -> None:
    assert await af.gather() == ()
    assert await af.gather(local.submit(square, 2), local.map(square, [3])) == (4, [9])
    waiting = local.submit(mark_and_wait_async, str(tmp_path), 1)
    await until(lambda: noted(tmp_path))
    with pytest.raises(ValueError, match="failed: 1"):
        await af.gather(waiting, local.submit(fail, 1), local.submit(fail, 1))
    assert waiting.cancelled()
    mixed = await af.gather(local.submit(square, 2), local.submit(fail, 1), return_exceptions=True)
    assert mixed[0] == 4
    assert isinstance(mixed[1], ValueError)


async def test_gather_ends_when_one_of_its_calls_is_cancelled(
    fabric: af.Fabric, tmp_path: Path
) -> None:
    first, second = (fabric.submit(mark_and_wait_async, str(tmp_path), x) for x in range(2))
    both = asyncio.ensure_future(_gather(first, second))
    await until(lambda: len(noted(tmp_path)) == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(both, 20)
    assert second.cancelled()


async def _gather(*calls: "af.Call[int]") -> object:
    return await af.gather(*calls)


async def test_cancelling_a_gather_cancels_its_calls(fabric: af.Fabric, tmp_path: Path) -> None:
    calls = [fabric.submit(mark_and_wait_async, str(tmp_path), x) for x in range(2)]
    both = asyncio.ensure_future(_gather(*calls))
    await until(lambda: len(noted(tmp_path)) == 2)
    both.cancel()
    await asyncio.wait([both])
    assert all(call.cancelled() for call in calls)


async def test_as_completed_of_calls(fabric: af.Fabric) -> None:
    calls = [fabric.submit(odd_fails, x) for x in range(6)]
    seen = [call async for call in af.as_completed([*calls, calls[0]])]
    assert sorted(seen, key=lambda call: call.index) == calls
    assert [call.exception() is None for call in calls] == [True, False] * 3

    async def more() -> AsyncIterator[af.Call[int]]:
        for x in range(4):
            yield fabric.submit(square, x)
            await asyncio.sleep(0)

    assert sorted([call.result() async for call in af.as_completed(more())]) == [0, 1, 4, 9]


class _Unready(InlineBackend):
    def launch(self, envelope: Envelope, code: dict[str, bytes], seconds: float | None) -> None:
        raise ArithmeticError("a bug of the backend's")


async def test_a_bug_of_a_backend_ends_the_map() -> None:
    async with af.Fabric(_Unready()) as fabric:
        with pytest.raises(ArithmeticError, match="bug of the backend"):
            await fabric.map(square, range(3))
        with pytest.raises(ArithmeticError, match="bug of the backend"):
            await fabric.submit(square, 3)
