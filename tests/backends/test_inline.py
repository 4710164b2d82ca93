"""The inline backend: the same envelopes, in this process."""

import asyncio
import io
import os
import sys
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.backends import Backend, open_backend
from asyncfabric.backends._inline import InlineBackend
from asyncfabric_runtime._capture import Tee


def test_it_is_a_backend() -> None:
    backend = open_backend("inline://")
    assert isinstance(backend, InlineBackend)
    assert isinstance(backend, Backend)
    assert (backend.lanes, backend.traits.separate) == (1, False)


async def test_it_runs_in_this_process() -> None:
    async def later(_: int) -> int:
        await asyncio.sleep(0)
        return os.getpid()

    async with af.Fabric("inline://") as fabric:
        assert await fabric.submit(os.getpid) == os.getpid()
        assert set(await fabric.map(later, range(5))) == {os.getpid()}


async def test_streams_come_back_after_the_last_invocation() -> None:
    before = sys.stdout, sys.stderr
    gates = [asyncio.Event() for _ in range(2)]
    begun = asyncio.Semaphore(0)

    async def speak(x: int) -> None:
        begun.release()
        await gates[x].wait()
        print("call", x)

    async with af.Fabric("inline://") as one, af.Fabric("inline://") as other:
        first, second = one.submit(_InPlace(speak), 0), other.submit(_InPlace(speak), 1)
        for _ in range(2):
            await begun.acquire()
        gates[0].set()
        await first
        await asyncio.sleep(0)
        assert isinstance(sys.stdout, Tee)  # the second still runs
        gates[1].set()
        await second
        assert (first.logs, second.logs) == ("call 0\n", "call 1\n")
    assert (sys.stdout, sys.stderr) == before


_kept: dict[int, Any] = {}


class _InPlace:
    """Pickles as a reference to this process's own object: a way past the codec for tests."""

    def __init__(self, function: Any) -> None:
        self.function = function
        _kept[id(self)] = self

    async def __call__(self, x: Any) -> Any:
        return await self.function(x)

    def __reduce__(self) -> Any:
        return _found, (id(self),)


def _found(key: int) -> Any:
    return _kept[key]


async def test_a_stream_that_user_code_puts_in_place_stays() -> None:
    mine = io.StringIO()
    before = sys.stdout

    def replace(_: int) -> None:
        sys.stdout = _found(0)

    _kept[0] = mine
    async with af.Fabric("inline://") as fabric:
        await fabric.submit(replace, 1)
    assert sys.stdout is mine
    sys.stdout = before


async def test_arrays_are_the_callers_own() -> None:
    array = np.zeros(100_000)

    def change(values: Any) -> Any:
        values += 1
        return values

    async with af.Fabric("inline://") as fabric:
        back = await fabric.submit(change, array)
    assert array.sum() == 0
    assert back.sum() == 100_000
    assert back.flags.writeable


async def test_one_environment_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AF_COLOUR", raising=False)

    async def look(_: int) -> Any:
        seen: set[str | None] = set()
        for _ in range(20):
            seen.add(os.environ.get("AF_COLOUR"))
            await asyncio.sleep(0)
        return seen

    async with af.Fabric("inline://") as fabric:
        colours = ["red", "blue", None, "red"]
        maps = [
            fabric.with_options(env={"AF_COLOUR": each} if each else None).map(look, range(5))
            for each in colours
        ]
        results = await asyncio.gather(*maps)
    for colour, result in zip(colours, results, strict=True):
        assert result == [{colour}] * 5
    assert "AF_COLOUR" not in os.environ


async def test_cancelling_and_closing() -> None:
    async def hang(_: int) -> None:
        await asyncio.get_running_loop().create_future()

    async with af.Fabric("inline://") as fabric:
        calls = [fabric.submit(hang, x) for x in range(3)]
        await asyncio.sleep(0.01)
        calls[0].cancel()
        assert await fabric.submit(abs, -1) == 1
    assert all(call.done() for call in calls)
    assert len(asyncio.all_tasks()) == 1
