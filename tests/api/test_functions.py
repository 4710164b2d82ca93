"""What is a function: anything callable, as it is at the moment it is sent."""

import asyncio
import functools
import importlib
import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from tests.api.until import until, untyped
from tests.api.work import echo, square, square_async

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Scaler:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def scale(self, x: int) -> int:
        return self.factor * x

    async def scale_async(self, x: int) -> int:
        await asyncio.sleep(0)
        return self.factor * x

    @classmethod
    def doubled(cls, x: int) -> int:
        return cls(2).scale(x)

    @staticmethod
    def tripled(x: int) -> int:
        return 3 * x

    def __call__(self, x: int) -> int:
        return self.factor * x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaler) and other.factor == self.factor

    def __hash__(self) -> int:
        return self.factor


class AsyncScaler:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    async def __call__(self, x: int) -> int:
        return self.factor * x


def logged(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@logged
def decorated(x: int) -> int:
    return 3 * x


def times(factor: int, x: int) -> int:
    return factor * x


async def times_async(factor: int, x: int) -> int:
    return factor * x


def closure(factor: int) -> Any:
    return untyped(lambda x: factor * x)  # pyright: ignore[reportUnknownLambdaType]


def closure_async(factor: int) -> Any:
    async def scale(x: int) -> int:
        return factor * x

    return scale


@pytest.mark.parametrize(
    "function",
    [
        untyped(lambda x: 3 * x),  # pyright: ignore[reportUnknownLambdaType]
        closure(3),
        closure_async(3),
        functools.partial(times, 3),
        functools.partial(times_async, 3),
        functools.partial(functools.partial(times), 3),
        Scaler(3).scale,
        Scaler(3).scale_async,
        Scaler(3),
        AsyncScaler(3),
        Scaler.tripled,
        decorated,
        (3).__mul__,
    ],
    ids=[str(number) for number in range(13)],
)
async def test_three_times(fabric: af.Fabric, function: Any) -> None:
    assert await fabric.map(function, range(5)) == [0, 3, 6, 9, 12]
    assert await fabric.submit(function, 5) == 15


async def test_builtins_and_classes(fabric: af.Fabric) -> None:
    assert await fabric.map(len, ["a", "bb"]) == [1, 2]
    assert await fabric.map(math.sqrt, [4, 9]) == [2.0, 3.0]
    assert await fabric.map(str.upper, ["a"]) == ["A"]
    assert await fabric.map(Scaler, [1, 2]) == [Scaler(1), Scaler(2)]
    assert await fabric.map(Scaler.doubled, [2]) == [4]
    assert await fabric.submit(dict, a=1) == {"a": 1}
    assert await fabric.submit(sorted, [3, 1, 2], reverse=True) == [3, 2, 1]


async def test_recursion(fabric: af.Fabric) -> None:
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    scope: dict[str, Any] = {"__name__": "__main__"}
    exec("def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)", scope)
    assert await fabric.map(factorial, [5, 6]) == [120, 720]
    assert await fabric.map(scope["fib"], [10]) == [55]


async def test_present_state_is_seen(fabric: af.Fabric) -> None:
    scope: dict[str, Any] = {"__name__": "__main__", "factor": 2, "table": {}, "helper": square}
    exec("def use(x): return factor * helper(x) + table.get(x, 0)", scope)
    use = scope["use"]
    assert await fabric.submit(use, 3) == 18
    scope["factor"] = 5
    assert await fabric.submit(use, 3) == 45
    scope["table"][3] = 1
    assert await fabric.submit(use, 3) == 46
    assert await fabric.map(use, [3]) == [46]
    scope["helper"] = abs
    assert await fabric.submit(use, 3) == 16
    cell = 1

    def read(x: int) -> int:
        return cell + x

    assert await fabric.submit(read, 1) == 2
    cell = 10
    assert await fabric.submit(read, 1) == 11
    scaler = Scaler(2)
    assert await fabric.submit(scaler.scale, 1) == 2
    scaler.factor = 7
    assert await fabric.submit(scaler.scale, 1) == 7


async def test_a_module_written_at_run_time(
    fabric: af.Fabric, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "written_now.py").write_text("FACTOR = 4\ndef scale(x): return FACTOR * x\n")
    untyped(monkeypatch).syspath_prepend(tmp_path)
    module = importlib.import_module("written_now")
    try:
        assert await fabric.map(module.scale, [1, 2]) == [4, 8]
    finally:
        del sys.modules["written_now"]


async def test_a_module_that_is_nowhere(fabric: af.Fabric) -> None:
    """A module made in memory can't be imported by a worker: the error says so."""
    module = types.ModuleType("made_in_memory")
    exec("def double(x): return 2 * x", module.__dict__)
    sys.modules["made_in_memory"] = module
    try:
        if fabric._core.backend.traits.separate:
            with pytest.raises(ModuleNotFoundError, match="made_in_memory") as caught:
                await fabric.submit(module.double, 2)
            assert any("sys.path" in text for text in caught.value.__notes__)
        else:
            assert await fabric.submit(module.double, 2) == 4
    finally:
        del sys.modules["made_in_memory"]


async def test_coroutine_calls_of_an_invocation_run_at_once(fabric: af.Fabric) -> None:
    """Each waits until all are there; one after another they would wait for ever."""
    assert await fabric.map(_meet, [8] * 8, chunksize=8) == [8] * 8


_there = 0


async def _meet(count: int) -> int:
    global _there  # noqa: PLW0603
    _there += 1
    await until(lambda: _there == count)
    return _there


async def test_arguments_are_not_shared_between_calls(fabric: af.Fabric) -> None:
    shared: list[int] = []
    assert await fabric.map(_append, [shared] * 4, chunksize=4) == [[1]] * 4
    assert shared == []


def _append(items: list[int]) -> list[int]:
    items.append(1)
    return items


@pytest.mark.parametrize(
    "value",
    [None, True, 2**100, 1.5, 1j, "ü" * 10, b"x" * 100_000, (1, "a"), [1], {"a": {1}}, Scaler(3)],
)
async def test_values_come_back_as_they_were(fabric: af.Fabric, value: object) -> None:
    assert await fabric.submit(echo, value) == value
    assert await fabric.map(echo, [value, value]) == [value, value]


async def test_subclasses_of_plain_types_keep_their_type(fabric: af.Fabric) -> None:
    (back,) = await fabric.map(echo, [Name("x")])
    assert type(back) is Name


class Name(str):
    __slots__ = ()


async def test_options_ride_on_a_function(fabric: af.Fabric) -> None:
    assert answer() == "no-env"
    assert await fabric.submit(answer) == "from-option"
    assert await fabric.map(_answer_of, [1]) == ["from-option"]


async def test_options_ride_on_a_partial_of_a_function(inline: af.Fabric) -> None:
    wrapped = functools.partial(_answer_of, 1)
    assert await inline.submit(wrapped) == "from-option"
    own = af.function(env={"ANSWER": "its-own"})(functools.partial(wrapped))
    assert await inline.submit(own) == "its-own"
    assert await inline.submit(wrapped) == "from-option"


def answer() -> str:
    import os

    return os.environ.get("ANSWER", "no-env")


answer = af.function(env={"ANSWER": "from-option"})(answer)


@af.function(env={"ANSWER": "from-option"})
def _answer_of(x: int) -> str:
    return answer()


async def test_inside_a_worker(fabric: af.Fabric) -> None:
    with pytest.raises(RuntimeError, match=r"Fabric\('inline://'\)"):
        af.current()
    contexts = await fabric.map(_context, range(4), seed=5)
    assert [each[0] for each in contexts] == [0, 1, 2, 3]
    assert {each[1] for each in contexts} == {1}
    assert {each[2] for each in contexts} == {None}
    assert {each[3] for each in contexts} == {5}
    tokens = {each[4] for each in contexts}
    assert len(tokens) == 4
    assert not tokens & {each[4] for each in await fabric.map(_context, range(4), seed=5)}
    with pytest.raises(RuntimeError, match="inside"):
        af.current()


def _context(x: int) -> tuple[object, ...]:
    context = af.current()
    return context.index, context.attempt, context.deadline, context.seed, context.token


async def test_a_map_inside_a_worker_runs_there(local: af.Fabric) -> None:
    inner, outer = await local.submit(_nested, 5)
    assert inner == [0, 1, 4, 9, 16]
    assert outer == 1
    assert (await local.submit(_nested_async, 4))[0] == [0, 1, 4, 9]


def _nested(count: int) -> tuple[list[int], int]:
    return asyncio.run(_nested_async(count))


async def _nested_async(count: int) -> tuple[list[int], int]:
    import os

    async with af.Fabric() as fabric:
        pids = await fabric.map(_pid, range(3))
        return await fabric.map(square_async, range(count)), len({*pids, os.getpid()})


def _pid(_: int) -> int:
    import os

    return os.getpid()


async def test_a_fabric_is_no_argument(fabric: af.Fabric) -> None:
    with pytest.raises(af.SerializationError):
        await fabric.submit(echo, fabric)
