"""Through a Fabric: copies of calls, dying workers, a Redis that is restarted. Each push once."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.params import ParameterServer
from tests.redis_server import StartRedis

_PUSHES = 10
_WAIT = 30.0  # seconds until a copy that doesn't come is an error

# What is written is on disk before it is answered.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def _is_first(scratch: Path, number: int) -> bool:
    """Tell whether this is the first to run this call."""
    try:
        (scratch / f"begun {number}").touch(exist_ok=False)
    except FileExistsError:
        (scratch / f"again {number}").touch()
        return False
    return True


def _late(number: int, ps: ParameterServer, scratch: str) -> None:
    """Call 0 waits in the midst until a copy of it runs, and then goes on beside it."""
    first = _is_first(Path(scratch), number)
    for at in range(_PUSHES):
        values, version = ps.blocking.pull("w", indices=[0])
        ps.blocking.push("w", np.ones_like(values), indices=[0], version=version)
        begin = time.monotonic()
        while number == 0 and first and at == _PUSHES // 2:
            if Path(scratch, "again 0").exists():
                break
            assert time.monotonic() < begin + _WAIT
            time.sleep(0.01)


def _late_stream(number: int, ps: ParameterServer, scratch: str) -> None:
    first = _is_first(Path(scratch), number)
    with ps.blocking.stream("w", every=3) as w:
        for at in range(_PUSHES):
            w.pull(indices=[0])
            w.push([1.0], indices=[0])
            begin = time.monotonic()
            while number == 0 and first and at == _PUSHES // 2:
                if Path(scratch, "again 0").exists():
                    break
                assert time.monotonic() < begin + _WAIT
                time.sleep(0.01)


async def _late_async(number: int, ps: ParameterServer, scratch: str) -> None:
    first = _is_first(Path(scratch), number)
    for at in range(_PUSHES):
        values, version = await ps.pull("w", indices=[0])
        await ps.push("w", np.ones_like(values), indices=[0], version=version)
        async with asyncio.timeout(_WAIT):
            while number == 0 and first and at == _PUSHES // 2:
                if Path(scratch, "again 0").exists():
                    break
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("step", [_late, _late_stream, _late_async])
async def test_a_copy_of_a_late_call(
    ps: ParameterServer, tmp_path: Path, step: Callable[..., Any]
) -> None:
    """Both push, at the same time; each push counts once."""
    await ps.put("w", np.zeros(2))
    async with af.Fabric("local://?processes=2", hedge=af.Hedge(least=0.0), retry=None) as fabric:
        shared = {"ps": ps, "scratch": str(tmp_path)}
        await fabric.map(step, range(12), shared=shared, chunksize=1)
    assert (tmp_path / "again 0").exists()
    assert (await ps.pull("w")).values.tolist() == [12 * _PUSHES, 0]


def _killed(number: int, ps: ParameterServer, scratch: str) -> None:
    """Die between pull and push."""
    values, version = ps.blocking.pull("w")
    if _is_first(Path(scratch), number):
        os.kill(os.getpid(), signal.SIGKILL)
    ps.blocking.push("w", np.ones_like(values), version=version)


async def _killed_async(number: int, ps: ParameterServer, scratch: str) -> None:
    values, version = await ps.pull("w")
    if _is_first(Path(scratch), number):
        os.kill(os.getpid(), signal.SIGKILL)
    await ps.push("w", np.ones_like(values), version=version)


@pytest.mark.parametrize("step", [_killed, _killed_async])
async def test_a_worker_killed_between_pull_and_push(
    ps: ParameterServer, tmp_path: Path, step: Callable[..., Any]
) -> None:
    await ps.put("w", np.zeros(2))
    async with af.Fabric("local://?processes=2", retry=af.Retry(attempts=20)) as fabric:
        shared = {"ps": ps, "scratch": str(tmp_path)}
        await fabric.map(step, range(3), shared=shared)
    assert len([*tmp_path.glob("again *")]) == 3
    assert (await ps.pull("w")).values.tolist() == [3, 3]


def _many(_: int, ps: ParameterServer) -> None:
    for _ in range(_PUSHES):
        values, version = ps.blocking.pull("w")
        ps.blocking.push("w", np.ones_like(values), version=version)


def _many_streamed(_: int, ps: ParameterServer) -> None:
    with ps.blocking.stream("w", every=2) as w:
        for _ in range(_PUSHES):
            values, _ = w.pull()
            w.push(np.ones_like(values))


async def _many_async(_: int, ps: ParameterServer) -> None:
    for _ in range(_PUSHES):
        values, version = await ps.pull("w")
        await ps.push("w", np.ones_like(values), version=version)


@pytest.mark.parametrize("step", [_many, _many_streamed, _many_async])
async def test_a_redis_killed_and_restarted_in_the_midst_of_a_map(
    start_redis: StartRedis, step: Callable[..., Any]
) -> None:
    server = start_redis(*DURABLE)
    async with (
        ParameterServer(server.url, name="m") as ps,
        af.Fabric("local://?processes=2") as fabric,
    ):
        await ps.put("w", np.zeros(2))

        async def map_all() -> None:
            await fabric.map(step, range(20), shared={"ps": ps})

        async with asyncio.TaskGroup() as mapping:
            mapping.create_task(map_all())
            for reached in (20, 50):
                while await ps.version("w") < reached:
                    pass
                server.kill()
                server.restart()
        assert (await ps.pull("w")).values.tolist() == [20 * _PUSHES] * 2
