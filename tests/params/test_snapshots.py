"""Snapshots: of one moment, brought back whole, and with the memory of what is in them."""

import asyncio

import numpy as np
import pytest

from asyncfabric.params import ParameterServer, Snapshot
from tests.redis_server import StartRedis


async def test_a_round_trip_over_bytes(ps: ParameterServer) -> None:
    await ps.put("w", np.random.default_rng(0).normal(size=(300, 500)))
    await ps.put("b", np.array(0.5, np.float32))
    await ps.push("w", [1.0], indices=[7])
    before = await ps.snapshot()
    data = before.to_bytes()
    await ps.put("extra", [1.0])
    await ps.push("w", [1.0], indices=[7])
    await ps.delete("b")
    await ps.restore(Snapshot.from_bytes(data))
    after = await ps.snapshot()
    assert sorted(await ps.parameters()) == ["b", "w"]
    for name, values in before.values.items():
        assert after.values[name].tobytes() == values.tobytes()
        assert after.values[name].dtype == values.dtype
        assert after.values[name].shape == values.shape
        assert after.versions[name] > before.versions[name]


async def test_nothing_is_a_snapshot_too(ps: ParameterServer) -> None:
    empty = await ps.snapshot()
    assert empty.values == {}
    await ps.put("w", [1.0])
    await ps.restore(empty)
    assert await ps.parameters() == {}


async def test_a_mapping_replaces_everything(ps: ParameterServer) -> None:
    await ps.put("old", [1.0])
    await ps.restore({"w": [1.0, 2.0], "b": 3.0})
    assert sorted(await ps.parameters()) == ["b", "w"]
    assert (await ps.pull("w")).values.tolist() == [1, 2]


@pytest.mark.parametrize("cut", [0, 7, 12, 30, -1])
async def test_bytes_that_are_no_snapshot(cut: int) -> None:
    data = Snapshot({"w": np.zeros(3)}, {"w": 1}).to_bytes()
    with pytest.raises(ValueError, match=r"no snapshot|cut short"):
        Snapshot.from_bytes(data[:cut])


async def test_of_one_moment(ps: ParameterServer) -> None:
    """Two parameters whose sum is constant at every moment, moved by one atomic change."""
    await ps.restore({"a": np.zeros(70_000), "b": np.zeros(70_000)})
    stop = False

    async def move() -> None:
        turn = 0.0
        while not stop:
            turn += 1
            await ps.restore({"a": np.full(70_000, turn), "b": np.full(70_000, -turn)})

    moving = asyncio.create_task(move())
    for _ in range(20):
        found = await ps.snapshot()
        total = found.values["a"] + found.values["b"]
        assert not total.any()
    stop = True
    await moving


async def test_readers_see_all_of_a_put_or_nothing(ps: ParameterServer, redis_url: str) -> None:
    await ps.put("w", np.zeros(200_000))
    stop = False

    async def put() -> None:
        turn = 0.0
        while not stop:
            turn += 1
            await ps.put("w", np.full(200_000, turn))

    putting = asyncio.create_task(put())
    async with ParameterServer(redis_url + "?", name=ps.name) as reader:
        for _ in range(20):
            values = (await reader.pull("w")).values
            assert (values == values[0]).all()
    stop = True
    await putting


async def test_what_was_in_it_is_not_added_again(start_redis: StartRedis) -> None:
    """Redis dies; a snapshot comes back; a call that was in it is repeated."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [0.0])
        await ps.push("w", [1.0], token="call 1")
        kept = (await ps.snapshot()).to_bytes()
        await ps.push("w", [1.0], token="call 2")
        server.kill()
        server.restart()
        await ps.restore(Snapshot.from_bytes(kept))
        await ps.push("w", [1.0], token="call 1")  # is in it
        assert (await ps.pull("w")).values.tolist() == [1]
        await ps.push("w", [1.0], token="call 2")  # was lost
        assert (await ps.pull("w")).values.tolist() == [2]
