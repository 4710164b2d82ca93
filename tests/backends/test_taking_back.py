"""Calls that are taken back all the time: none is lost, none runs twice, no map hangs.

The pool takes back what is queued behind a call that has not answered for a while. Here that while
is next to nothing, so that recalls cross with answers, overtake envelopes and empty invocations in
every order, thousands of times.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

import asyncfabric as af
from asyncfabric.backends.local import _pool


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pool, "STALL_SECONDS", 0.0002)


def work(x: int) -> int:
    """Keep the processor for about a quarter of a millisecond, some calls for longer."""
    until = time.perf_counter() + (0.005 if x % 50 == 49 else 0.00025)
    while time.perf_counter() < until:
        pass
    return x


async def rest(x: int) -> int:
    await asyncio.sleep(0.0005 * (x % 5))
    return x


def noted(path: str, x: int) -> int:
    with Path(path).open("a") as file:
        file.write(f"{x}\n")
    return work(x)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("chunksize", ["auto", 7, 100])
async def test_no_call_is_lost(processes: int, chunksize: int | Literal["auto"]) -> None:
    async with af.Fabric(f"local://?processes={processes}") as fabric:
        assert await fabric.map(work, range(600), chunksize=chunksize) == list(range(600))


async def test_no_call_runs_twice(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    async with af.Fabric("local://?processes=3") as fabric:
        await fabric.starmap(noted, ((log, x) for x in range(500)))
    ran = [int(line) for line in Path(log).read_text().splitlines()]
    assert sorted(ran) == list(range(500))


async def test_streams_keep_their_order_and_their_buffers() -> None:
    def inputs() -> Iterator[int]:
        yield from range(600)

    async with af.Fabric("local://?processes=2") as fabric:
        stream = fabric.map(work, inputs(), buffersize=60, chunksize=20)
        assert [x async for x in stream] == list(range(600))


async def test_plain_and_coroutine_calls_side_by_side() -> None:
    async with af.Fabric("local://?processes=2") as fabric:
        plain, coroutines, single = await asyncio.gather(
            fabric.map(work, range(300)),
            fabric.map(rest, range(300)),
            asyncio.gather(*(fabric.submit(work, x) for x in range(200))),
        )
    assert plain == list(range(300))
    assert coroutines == list(range(300))
    assert single == list(range(200))


async def test_cancelled_maps_among_others() -> None:
    async with af.Fabric("local://?processes=2") as fabric:
        for _ in range(10):
            doomed = fabric.map(work, range(10_000))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await doomed
            assert await fabric.map(work, range(100)) == list(range(100))


def last_waits(gate: str, x: int) -> tuple[int, list[int]]:
    while x == 149 and not Path(gate).exists():
        time.sleep(0.001)
    print(f"call {x}")
    return x, [x]


async def test_a_call_that_hangs_holds_back_none_before_it(tmp_path: Path) -> None:
    """The last of its invocation begins before the others have left, so short they are."""
    gate = tmp_path / "gate"
    async with af.Fabric("local://?processes=1", hedge=None) as fabric:
        await fabric.starmap(last_waits, [(str(gate), 0)] * 200)  # so that they travel together
        mapped = fabric.starmap(last_waits, ((str(gate), x) for x in range(150)), chunksize=150)
        found: list[int] = []
        async for call in af.as_completed(mapped):
            found.append(call.result()[0])
            assert call.logs == f"call {found[-1]}\n"
            if len(found) == 149:  # without them there is no end
                gate.touch()
    assert sorted(found) == list(range(150))
