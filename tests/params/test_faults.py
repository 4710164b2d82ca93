"""Redis that dies, forgets, fills up, or holds something else: applied once or not at all."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from asyncfabric.params import (
    ParameterError,
    ParameterNotFound,
    ParameterServer,
    ServerUnreachable,
    StaleUpdate,
)
from asyncfabric.params._entries import apply
from asyncfabric.params._layout import Layout
from asyncfabric.params._scripts import FOLD_ENTRIES
from asyncfabric.params._store import Change, _writes
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy

# What is written is on disk before it is answered.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


async def test_a_redis_that_dies_and_comes_back_with_its_data(start_redis: StartRedis) -> None:
    """Pushes that were under way are applied once: the sum tells."""
    server = start_redis(*DURABLE)
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(1000))

        async def push() -> None:
            for _ in range(50):
                await ps.push("w", np.ones(1000))

        async with asyncio.TaskGroup() as pushing:
            for _ in range(4):
                pushing.create_task(push())
            reached = 0
            while reached < 100:
                reached = await ps.version("w")
            server.kill()
            server.restart()
        values, version = await ps.pull("w")
        assert (values == 200).all()
        assert version == 201


async def test_a_redis_that_comes_back_empty(start_redis: StartRedis) -> None:
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(10))
        await ps.push("w", np.ones(10))
        kept = await ps.snapshot()
        server.kill()
        server.restart()
        with pytest.raises(ParameterNotFound, match="restore a snapshot"):
            await ps.push("w", np.ones(10))
        with pytest.raises(ParameterNotFound, match="restore a snapshot"):
            await ps.pull("w")
        await ps.restore(kept)
        await ps.push("w", np.ones(10))
        values, version = await ps.pull("w")
        assert (values == 2).all()
        assert version > 3


async def test_a_redis_that_lost_the_latest_pushes(start_redis: StartRedis) -> None:
    """What this process had copied of them is forgotten too."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(10))
        await ps.push("w", np.ones(10))
        with client_of(server.url) as client:
            client.save()
        await ps.push("w", np.full(10, 5.0))
        await ps.pull("w")
        server.kill()
        server.restart()
        await ps.push("w", np.full(10, 0.25))  # takes the lost push's place in the log
        assert (await ps.pull("w")).values.tolist() == [1.25] * 10


async def test_nobody_answers(start_redis: StartRedis) -> None:
    server = start_redis()
    server.kill()
    ps = ParameterServer(server.url, name="m", patience=0.3)
    with pytest.raises(ServerUnreachable, match=r"patience=0.3 s.*once or not at all"):
        await ps.put("w", [1.0])
    await ps.aclose()


async def test_a_redis_that_hangs(start_redis: StartRedis) -> None:
    server = start_redis()
    async with (
        Proxy(server.port) as proxy,
        ParameterServer(proxy.url, name="m", patience=0.3) as ps,
    ):
        await ps.put("w", [1.0])
        proxy.hold()
        with pytest.raises(ServerUnreachable, match="TimeoutError"):
            await ps.push("w", [1.0])


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_connection(start_redis: StartRedis, when: str) -> None:
    """The push's reply is lost, or the push itself; it is sent again and applied once."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        for _ in range(10):
            proxy.cut(when)
            await ps.push("w", np.ones(3))
        assert proxy.cuts == 10
        assert (await ps.pull("w")).values.tolist() == [10, 10, 10]


async def test_a_put_whose_reply_is_lost(start_redis: StartRedis) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        for cut in range(3):
            proxy.cut("after")
            await ps.put("w", np.full(3, float(cut)))
            assert (await ps.pull("w")).values.tolist() == [cut] * 3
        assert await ps.version("w") == 4


async def test_a_put_that_is_in_force_and_whose_reply_is_lost(start_redis: StartRedis) -> None:
    """It is asked for again, and what it put stays."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        proxy.cut("after", b"EVALSHA")
        await ps.put("w", np.ones(3))
        assert (await ps.pull("w")).values.tolist() == [1, 1, 1]
        kept = await ps.snapshot()
        proxy.cut("after", b"EVALSHA")
        await ps.restore(kept)
        assert (await ps.pull("w")).values.tolist() == [1, 1, 1]
        proxy.cut("after", b"EVALSHA")
        await ps.delete("w")
        assert await ps.parameters() == {}
        assert proxy.cuts == 3


async def test_what_a_lost_connection_delivers_late(start_redis: StartRedis) -> None:
    """The elements of a put, once more, when they are long in force and were added to."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        with client_of(server.url) as client:
            await ps.put("w", [0.0])
            place = await ps._home.place()
            layout = (await ps.parameters())["w"]
            (late,) = _writes(place, Change({"w": np.zeros(1)}), {"w": layout})
            for _ in range(FOLD_ENTRIES + 1):
                await ps.push("w", [1.0])
            client.execute_command(*late)
        async with ParameterServer(server.url + "?", name="m") as fresh:
            assert (await fresh.pull("w")).values.tolist() == [FOLD_ENTRIES + 1]


@pytest.mark.parametrize("where", ["before", "midst", "after"])
async def test_what_interrupts_a_copy_is_not_counted_twice(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A plain call's timeout is a signal, which comes anywhere."""
    name = f"interrupted {where}"
    async with (
        ParameterServer(redis_url, name=name) as ps,
        ParameterServer(redis_url + "?", name=name) as other,
    ):
        await ps.put("w", np.zeros(3))
        await ps.pull("w")
        for _ in range(3):
            await other.push("w", np.ones(3))

        def interrupted(layout: Layout, shard: Any, entries: Sequence[bytes]) -> None:
            apply(layout, shard, entries[: {"before": 0, "midst": 2, "after": 3}[where]])
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("asyncfabric.params._replica.apply", interrupted)
            with pytest.raises(KeyboardInterrupt):
                await ps.pull("w")
        assert (await ps.pull("w")).values.tolist() == [3, 3, 3]


async def test_an_overflow_is_no_readers_error(redis_url: str) -> None:
    async with ParameterServer(redis_url, name="overflow") as ps:
        await ps.put("w", [0.0, 0.0])
        for _ in range(3):
            await ps.push("w", [1.0, 1e308])
        with np.errstate(all="raise"):
            assert (await ps.pull("w")).values.tolist() == [3, np.inf]


async def test_memory_is_full(start_redis: StartRedis) -> None:
    server = start_redis("--maxmemory", "6mb")
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(60_000))
        await ps.put("small", np.zeros(3))
        pushed = 0

        async def fill() -> None:
            nonlocal pushed
            for number in range(20):
                await ps.put(f"x{number}", np.ones(60_000))
                await ps.push("small", np.ones(3))
                pushed += 1

        async def push() -> None:
            nonlocal pushed
            while True:
                await ps.push("small", np.ones(3))
                pushed += 1

        with pytest.raises(ParameterError, match=r"memory limit.*maxmemory") as caught:
            await fill()
        assert not isinstance(caught.value, ServerUnreachable)
        # Whole parameters or none, and those that there were can still be read.
        for name in await ps.parameters():
            if name not in ("w", "small"):
                assert ((await ps.pull(name)).values == 1).all()
        assert (await ps.pull("small")).values.tolist() == [pushed] * 3
        with pytest.raises(ParameterError, match="memory limit"):
            await push()
        assert (await ps.pull("small")).values.tolist() == [pushed] * 3
        await ps.delete("x0")
        await ps.push("small", np.ones(3))
        assert (await ps.pull("small")).values.tolist() == [pushed + 1] * 3


@pytest.mark.parametrize("part", ["catalog", "staleness:w", ":log", "seen", "0"])
async def test_a_key_of_another_type(start_redis: StartRedis, part: str) -> None:
    """Found before anything is written."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        version = await ps.push("w", np.ones(3), version=0)
        values = (await ps.pull("w")).values
        with client_of(server.url) as client:
            (key,) = [key for key in client.keys("*") if key.decode().endswith(part)]
            client.rename(key, "aside")
            client.zadd(key, {"foreign": 1})
            fresh = ParameterServer(server.url + "?", name="m")
            with pytest.raises(ParameterError, match=r"something else.*another name"):
                await (fresh.pull("w") if part == "0" else fresh.push("w", np.ones(3), version=1))
            await fresh.aclose()
            client.delete(key)
            client.rename("aside", key)
        assert (await ps.pull("w")).values.tolist() == values.tolist()
        assert await ps.version("w") == version


async def test_what_another_program_wrote(start_redis: StartRedis) -> None:
    """Of the right type, and nonsense."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        fresh = ParameterServer(server.url + "?", name="m")
        with client_of(server.url) as client:
            (base,) = [key for key in client.keys("*") if key.endswith(b":w:0")]
            client.set(base, b"123")
            with pytest.raises(ParameterError, match=r"3 bytes in Redis, and not 24.*anew"):
                await fresh.pull("w")
            await ps.put("w", np.ones(3))
            assert (await fresh.pull("w")).values.tolist() == [1, 1, 1]
            for text in ("garbage", "[1]", "7"):
                client.hset("{asyncfabric:m}:catalog", "v", text)
                with pytest.raises(ParameterError, match=r"catalog.*another name"):
                    await fresh.pull("v")
        await fresh.aclose()


@pytest.mark.parametrize("part", ["0", ":log", "p"])
async def test_a_key_that_was_evicted(start_redis: StartRedis, part: str) -> None:
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        await ps.push("w", np.ones(3))
        with client_of(server.url) as client:
            suffix = {"0": ":w:0", ":log": ":log", "p": ":w"}[part]
            (key,) = [each for each in client.keys("*:p:*") if each.decode().endswith(suffix)]
            client.delete(key)
        fresh = ParameterServer(server.url + "?", name="m")
        with pytest.raises(ParameterNotFound, match=r"gone from Redis.*noeviction"):
            await fresh.pull("w")
        if part != "0":  # a push doesn't look at the base
            with pytest.raises(ParameterNotFound, match=r"gone from Redis.*noeviction"):
                await fresh.push("w", np.ones(3))
        await fresh.aclose()


async def test_scripts_that_were_flushed(start_redis: StartRedis) -> None:
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(3))
        with client_of(server.url) as client:
            client.script_flush()
        await ps.push("w", np.ones(3))
        with client_of(server.url) as client:
            client.script_flush()
        assert (await ps.snapshot()).values["w"].tolist() == [1, 1, 1]


async def test_a_push_from_too_old_a_version_is_refused(redis_url: str) -> None:
    async with ParameterServer(redis_url, name="stale", max_staleness=2) as ps:
        await ps.put("w", np.zeros(3))
        seen = await ps.version("w")
        for _ in range(3):
            await ps.push("w", np.ones(3), version=seen + 1)
            seen += 1
        with pytest.raises(StaleUpdate, match=r"3 pushes.*max_staleness=2.*pull") as caught:
            await ps.push("w", np.ones(3), version=seen - 3)
        assert caught.value.staleness == 3
        await ps.push("w", np.ones(3))  # computed from nothing: never stale
        values, version = await ps.pull("w")
        assert values.tolist() == [4, 4, 4]
        await ps.push("w", np.ones(3), version=version)
        assert (await ps.staleness("w")).most <= 2


async def test_what_a_dead_writer_left_expires(start_redis: StartRedis) -> None:
    """A put that dies before its end leaves keys that expire, and the model as it was."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.ones(200_000))
        dying = ParameterServer(proxy.url, name="m", patience=0.3)
        await dying.version("w")
        proxy.refuse(b"EVALSHA")
        with pytest.raises(ServerUnreachable):
            await dying.put("w", np.full(200_000, 7.0))
        await dying.aclose()
        assert ((await ps.pull("w")).values == 1).all()
        with client_of(server.url) as client:
            keys = client.keys("*:p:*:w:[0-9]")
            lives = sorted(client.ttl(key) > 0 for key in keys)
        assert lives == [False] * 4 + [True] * 4


async def test_a_redis_that_evicts_what_is_laid_aside(start_redis: StartRedis) -> None:
    """Told, instead of sent again for ever."""
    server = start_redis("--maxmemory", "6mb", "--maxmemory-policy", "allkeys-lru")
    async with ParameterServer(server.url, name="m") as ps:
        with pytest.raises(ParameterError, match="noeviction"):
            await ps.put("w", np.zeros(1_500_000))
