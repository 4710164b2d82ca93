"""Streams in calls: repeated, killed, timed out, and beside other operations."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.params import ParameterError, ParameterServer
from tests.redis_server import StartRedis

from .proxy import Proxy


def _loop(_: int, ps: ParameterServer, every: int) -> list[float]:
    seen: list[float] = []
    with ps.blocking.stream("w", every=every) as w:
        for _ in range(10):
            values, _ = w.pull(indices=[0])
            seen.append(float(values[0]))
            w.push([1.0, 1.0], indices=[0, 1])
    return seen


async def _async_loop(_: int, ps: ParameterServer, every: int) -> list[float]:
    seen: list[float] = []
    async with ps.stream("w", every=every) as w:
        for _ in range(10):
            values, _ = await w.pull(indices=[0])
            seen.append(float(values[0]))
            await w.push([1.0, 1.0], indices=[0, 1])
    return seen


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("loop", [_loop, _async_loop])
async def test_in_calls(ps: ParameterServer, loop: Callable[..., Any], every: int) -> None:
    await ps.put("w", np.zeros(3))
    async with af.Fabric("local://?processes=2") as fabric:
        found = await fabric.map(loop, range(8), shared={"ps": ps, "every": every})
    for seen in found:
        assert all(later >= sooner + 1 for sooner, later in pairwise(seen))
    assert (await ps.pull("w")).values.tolist() == [80, 80, 0]


def _failing(_: int, ps: ParameterServer, scratch: str, way: str) -> None:
    """Fail or die in the midst of the first attempt, with pushes sent, under way and waiting."""
    mark = Path(scratch, f"{af.current().index}")
    first = not mark.exists()
    mark.touch()
    with ps.blocking.stream("w", every=3) as w:
        for number in range(20):
            w.pull(indices=[0])
            w.push([1.0], indices=[0])
            if first and number == 10:
                if way == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError("again, please")


async def _async_failing(_: int, ps: ParameterServer, scratch: str, way: str) -> None:
    mark = Path(scratch, f"{af.current().index}")
    first = not mark.exists()
    mark.touch()
    async with ps.stream("w", every=3) as w:
        for number in range(20):
            await w.pull(indices=[0])
            await w.push([1.0], indices=[0])
            if first and number == 10:
                if way == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise OSError("again, please")


@pytest.mark.parametrize("step", [_failing, _async_failing])
@pytest.mark.parametrize("way", ["raised", "killed"])
async def test_repeated_calls(
    ps: ParameterServer, tmp_path: Path, step: Callable[..., Any], way: str
) -> None:
    await ps.put("w", np.zeros(2))
    async with af.Fabric(
        "local://?processes=2", retry=af.Retry(attempts=20, on=(OSError,))
    ) as fabric:
        shared = {"ps": ps, "scratch": str(tmp_path), "way": way}
        await fabric.map(step, range(3), shared=shared)
    assert len(list(tmp_path.iterdir())) == 3
    assert (await ps.pull("w")).values.tolist() == [60, 0]


def _between(_: int, ps: ParameterServer) -> Any:
    """Other operations of the call, between a stream's."""
    with ps.blocking.stream("w") as w:
        w.pull()
        w.push([1.0])
        version = ps.blocking.version("w")
        ps.blocking.push("v", [1.0])
        with pytest.raises(ParameterError, match="at once"):
            ps.blocking.push("w", [1.0])
        assert version == 2
        return w.pull().values.tolist() + ps.blocking.pull("v").values.tolist()


async def test_other_operations_between(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    await ps.put("v", [0.0])
    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        assert await fabric.map(_between, [0], shared={"ps": ps}) == [[1, 1]]


def _twice(_: int, ps: ParameterServer) -> Any:
    with ps.blocking.stream("w") as w:
        w.push([1.0])
        with pytest.raises(RuntimeError, match="another one"), w:
            pass
        w.push([1.0])
        return w.pull().values.tolist()


async def test_a_stream_is_entered_once(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        assert await fabric.map(_twice, [0], shared={"ps": ps}) == [[2]]
    async with ps.stream("w") as w:
        with pytest.raises(RuntimeError, match="another one"):
            await w.__aenter__()


def _hanging(what: str, ps: ParameterServer) -> Any:
    with ps.blocking.stream("w") as w:
        if what == "hang":
            w.push([1.0])
        return w.pull().values.tolist()


async def test_a_plain_call_that_times_out_between(start_redis: StartRedis) -> None:
    """The answer that it waited for is nobody else's."""
    server = start_redis()
    async with (
        Proxy(server.port) as proxy,
        ParameterServer(proxy.url, name="m") as ps,
        af.Fabric("local://?processes=1", retry=None) as fabric,
    ):
        await ps.put("w", [0.0])
        assert await fabric.map(_hanging, ["look"], shared={"ps": ps}) == [[0]]
        proxy.hold()
        with pytest.raises(af.AttemptTimeout):
            await fabric.with_options(timeout=0.5).map(_hanging, ["hang"], shared={"ps": ps})
        proxy.release()
        assert await fabric.map(_hanging, ["look"], shared={"ps": ps}) == [[1]]


async def test_a_cancelled_stream(start_redis: StartRedis) -> None:
    """Its push's answer is nobody else's."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", [0.0])

        async def loop() -> None:
            async with ps.stream("w") as w:
                await w.push([1.0])
                await w.pull()

        await ps.pull("w")
        proxy.hold()
        looping = asyncio.create_task(loop())
        await proxy.handed()
        looping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looping
        pulling = asyncio.create_task(ps.pull("w"))
        proxy.release()
        assert (await pulling).values.tolist() == [1]


class _Rung(BaseException):
    """What a call's timeout is like: it comes anywhere."""


def _interrupted(_: int, ps: ParameterServer) -> tuple[int, int]:
    """Loop while a signal interrupts again and again; return how often, and wrong values seen."""
    rng = random.Random(7)
    inside = False

    def ring(*_: object) -> None:
        # Not where this loop itself is, however late a signal is on a machine with other work.
        if inside:
            raise _Rung

    # What is imported is imported now: modules that were interrupted aren't this package's to mend.
    with ps.blocking.stream("w", every=2) as w:
        w.push([0.0, 0.0], indices=[0, 40_000])
        w.pull(indices=[0])
    former = signal.signal(signal.SIGALRM, ring)
    rung = wrong = 0
    try:
        while rung < 60:
            # Again and again: what is raised while an object is finalized is lost.
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 3e-3), 0.1)
            try:
                inside = True
                with ps.blocking.stream("w", every=rng.choice([1, 2, 3])) as w:
                    while True:
                        w.pull(indices=[0])
                        w.push([1.0, 1.0], indices=[0, 40_000])
                        ps.blocking.version("w")
            except _Rung:
                inside = False
                rung += 1
            values = ps.blocking.pull("w").values
            wrong += int(values[0] != values[40_000])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    return rung, wrong


@pytest.mark.filterwarnings("ignore")
async def test_signals_that_come_at_any_time(ps: ParameterServer, redis_url: str) -> None:
    """The lock is free afterwards, no reply meets another command, and no copy is wrong."""
    await ps.put("w", np.zeros(50_000))
    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        assert await fabric.map(_interrupted, [0], shared={"ps": ps}) == [(60, 0)]
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        values = (await other.pull("w")).values
        assert values[0] == values[40_000] > 0
