"""Pushes of more than one command: laid aside, then added at one moment."""

import asyncio

import numpy as np
import pytest

from asyncfabric.params import ParameterError, ParameterServer
from asyncfabric.params._attempts import Ticket
from asyncfabric.params._link import link_to
from asyncfabric.params._push import Push, push
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy

_LARGE = 20 * 65536  # ten MB


async def test_a_large_push_that_does_not_fit(start_redis: StartRedis) -> None:
    """Nothing of it is added, and what was sent is cleared away."""
    server = start_redis("--maxmemory", "26mb")
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(_LARGE))
        pushed = 0

        async def fill() -> None:
            nonlocal pushed
            while True:
                await ps.push("w", np.ones(_LARGE))
                pushed += 1

        with pytest.raises(ParameterError, match="memory limit"):
            await fill()
        values, version = await ps.pull("w")
        assert (values == pushed).all()
        assert version == pushed + 1
        with client_of(server.url) as client:
            assert client.keys("*:aside:*") == []


async def test_a_put_in_the_midst_of_a_large_push(start_redis: StartRedis) -> None:
    """The push goes to the one or to the other, and not in part to each."""
    server = start_redis()
    async with (
        Proxy(server.port) as proxy,
        ParameterServer(proxy.url, name="m") as ps,
        ParameterServer(server.url, name="m") as other,
    ):
        await ps.put("w", np.zeros(_LARGE))
        await ps.version("w")
        proxy.hold()
        pushing = asyncio.create_task(ps.push("w", np.ones(_LARGE)))
        await proxy.handed()
        await other.put("w", np.zeros(_LARGE))
        proxy.release()
        assert await pushing == 3
        assert ((await other.pull("w")).values == 1).all()
        with client_of(server.url) as client:
            assert client.keys("*:aside:*") == []


async def test_attempts_at_a_large_push_are_not_mixed(start_redis: StartRedis) -> None:
    """One dies in the midst; another has other deltas."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(_LARGE))
        place = await ps._home.place()
        ticket = Ticket("job/1 w", 1)
        link = link_to(place.address, ps._home.user)
        dying = push(place, Push("w", np.ones(_LARGE)), ticket)
        await link.run(dying.send(await link.run(next(dying))))
        dying.close()
        await link.follow(push(place, Push("w", np.full(_LARGE, 5.0)), ticket))
        assert ((await ps.pull("w")).values == 5).all()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_large_push_whose_reply_is_lost(start_redis: StartRedis, when: str) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", np.zeros(_LARGE))
        for _ in range(3):
            proxy.cut(when, b"EVALSHA")
            await ps.push("w", np.ones(_LARGE))
        values, version = await ps.pull("w")
        assert (values == 3).all()
        assert (version, proxy.cuts) == (4, 3)
