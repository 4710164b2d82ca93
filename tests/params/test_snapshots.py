"""Snapshots: of one moment, brought back whole, and with the memory of what is in them."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asyncfabric.params import ParameterServer, ServerUnreachable, Snapshot, _snapshot
from asyncfabric.params._attempts import Ticket
from asyncfabric.params._blocking_link import blocking_link_to
from asyncfabric.params._operations import restoring_from
from asyncfabric.params._pull import pull
from asyncfabric.params._push import Push, push
from asyncfabric.params._scripts import COMMIT
from asyncfabric.params._snapshot import snapshot
from asyncfabric.params._steps import BATCH_BYTES, Reply, raise_first
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy


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


def test_more_bytes_than_a_snapshots() -> None:
    data = Snapshot({"w": np.zeros(3)}, {"w": 1}).to_bytes()
    with pytest.raises(ValueError, match="2 bytes come after the end"):
        Snapshot.from_bytes(data + b"zz")


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


async def test_what_overflowed_comes_back(ps: ParameterServer) -> None:
    """As it was: a snapshot of a model is no place to find fault with it."""
    await ps.put("w", [0.0])
    for _ in range(2):
        await ps.push("w", [1.7e308])
    await ps.restore(Snapshot.from_bytes((await ps.snapshot()).to_bytes()))
    assert (await ps.pull("w")).values.tolist() == [np.inf]


@pytest.mark.parametrize("head", [b"[]", b"{}", b"7", b'{"parameters": [7], "seen": []}'])
def test_heads_that_make_no_sense(head: bytes) -> None:
    with pytest.raises(ValueError, match="head of this snapshot"):
        Snapshot.from_bytes(b"AFPARAM1" + len(head).to_bytes(8, "little") + head)


def test_a_shape_that_makes_no_sense() -> None:
    data = Snapshot({"w": np.zeros(2)}, {"w": 1}).to_bytes().replace(b"[2]", b"[-1]")
    data = data[:8] + (int.from_bytes(data[8:16], "little") + 1).to_bytes(8, "little") + data[16:]
    with pytest.raises(ValueError, match="shape"):
        Snapshot.from_bytes(data)


async def test_a_parameter_that_is_put_in_the_midst_of_a_restore(start_redis: StartRedis) -> None:
    """It is gone, or it came after the restore; nobody has both it and what was restored."""
    server = start_redis()
    async with (
        Proxy(server.port) as proxy,
        ParameterServer(proxy.url, name="m") as ps,
        ParameterServer(server.url, name="m") as other,
    ):
        await ps.put("w", [1.0])
        kept = await ps.snapshot()
        place, link = await ps._home.link()
        restoring = restoring_from(kept)(place, Ticket("t", 1))
        commands = next(restoring)
        while not (commands and COMMIT.digest in commands[0]):
            commands = restoring.send(await link.run(commands))
        await other.put("late", [2.0])
        await link.follow(restoring, await link.run(commands))
        assert [*await other.parameters()] == ["w"]


async def test_replies_to_a_snapshot_are_small(ps: ParameterServer, redis_url: str) -> None:
    """The most of it is read before, by parts; the rest at one moment."""
    await ps.put("w", np.ones(40 * 65_536))
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        most = 0
        place, link = await other._home.link()
        taking = snapshot(place)
        commands = next(taking)
        with contextlib.suppress(StopIteration):
            while True:
                answer = await link.run(commands)
                most = max(most, sum(map(_size, answer.replies)))
                commands = taking.send(answer)
        assert 0 < most <= BATCH_BYTES + 512 * 1024
        assert ((await other.snapshot()).values["w"] == 1).all()


def _size(reply: Reply) -> int:
    if isinstance(reply, bytes):
        return len(reply)
    return sum(_size(each) for each in reply) if hasattr(reply, "append") else 0


async def test_what_a_dead_restorer_left_expires(start_redis: StartRedis) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [1.0])
        await ps.push("w", [1.0], token="one")
        kept = await ps.snapshot()
        dying = ParameterServer(proxy.url, name="m", patience=0.3)
        await dying.version("w")
        proxy.refuse(b"EVALSHA")
        with pytest.raises(ServerUnreachable):
            await dying.restore(kept)
        await dying.aclose()
        with client_of(server.url) as client:
            (key,) = client.keys("*:staged:*")
            assert client.ttl(key) > 0
        assert (await ps.pull("w")).values.tolist() == [2]


async def test_copies_that_are_newer_than_the_snapshot(
    ps: ParameterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread of this process pulls meanwhile: then it is taken again."""
    await ps.put("w", [0.0])
    await ps.pull("w")
    place, _ = await ps._home.link()
    link = blocking_link_to(place.address, ps._home.user)
    examine = raise_first

    def meanwhile(replies: Sequence[Any]) -> None:
        monkeypatch.undo()
        examine(replies)
        link.follow(push(place, Push("w", [1.0]), Ticket("call/7", 1)))
        link.follow(pull(place, "w"))

    monkeypatch.setattr(_snapshot, "raise_first", meanwhile)
    taken = await ps.snapshot()
    assert (taken.values["w"].tolist(), taken.versions["w"]) == ([1], 2)
    await ps.restore(taken)
    link.follow(push(place, Push("w", [1.0]), Ticket("call/7", 1)))
    assert (await ps.pull("w")).values.tolist() == [1]
