"""Bases written anew from a copy."""

import pytest

import asyncfabric as af
from asyncfabric.params import ParameterServer
from asyncfabric.params._fold import fold
from asyncfabric.params._link import link_to
from asyncfabric.params._scripts import FOLD, FOLD_ENTRIES
from asyncfabric.params._steps import Steps
from tests.redis_server import StartRedis, client_of


async def test_a_fold_for_a_redis_that_has_lost_what_is_in_it(start_redis: StartRedis) -> None:
    """It was computed before a restart, and pushes that came since have the lost ones' numbers."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [0.0])
        with client_of(server.url) as client:
            client.save()
        await ps.push("w", [100.0])
        link = link_to((await ps._home.place()).address, ps._home.user)
        folding = fold(await ps._home.place(), "w", (await ps.parameters())["w"], 0)
        commands = next(folding)
        while not (commands and FOLD.digest in commands[0]):
            commands = folding.send(await link.run(commands))
        server.kill()
        server.restart()
        async with ParameterServer(server.url, name="m") as other:
            await other.push("w", [1.0])
            with pytest.raises(StopIteration):
                folding.send(await link.run(commands))
            assert (await other.pull("w")).values.tolist() == [1]
        async with ParameterServer(server.url + "?", name="m") as fresh:
            assert (await fresh.pull("w")).values.tolist() == [1]


async def test_a_fold_that_fails_is_not_the_pushs_error(start_redis: StartRedis) -> None:
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [0.0])
        for _ in range(FOLD_ENTRIES - 1):
            await ps.push("w", [1.0])
        with client_of(server.url) as client:
            (base,) = client.keys("*:w:0")
            client.delete(base)
        async with ParameterServer(server.url + "?", name="m") as other:
            assert await other.push("w", [1.0]) == FOLD_ENTRIES + 1


async def test_a_fold_that_breaks_does_not_make_its_push_a_refused_one(
    ps: ParameterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was applied: the call's next push is another one, and not the same again."""

    def broken(*_: object) -> Steps[None]:
        yield ()
        raise ValueError("broken")

    async def step(_: int, ps: ParameterServer) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("asyncfabric.params._fold.fold", broken)
            for _ in range(FOLD_ENTRIES - 1):
                await ps.push("w", [1.0])
            with pytest.raises(ValueError, match="broken"):
                await ps.push("w", [1.0])
        await ps.push("w", [1.0])

    await ps.put("w", [0.0])
    async with af.Fabric("inline://") as fabric:
        await fabric.map(step, [0], shared={"ps": ps})
    assert (await ps.pull("w")).values.tolist() == [FOLD_ENTRIES + 1]


async def test_a_fold_that_comes_late(ps: ParameterServer, redis_url: str) -> None:
    """Another one, of more entries, was faster: it stays."""
    await ps.put("w", [0.0])
    place, link = await ps._home.link()
    layout = (await ps.parameters())["w"]
    await ps.push("w", [1.0])
    folding = fold(place, "w", layout, 0)
    commands = next(folding)
    while not (commands and FOLD.digest in commands[0]):
        commands = folding.send(await link.run(commands))
    await ps.push("w", [1.0])
    await link.follow(fold(place, "w", layout, 0))
    await ps.push("w", [1.0])
    await link.follow(folding, await link.run(commands))
    async with ParameterServer(redis_url + "?", name=ps.name) as fresh:
        assert (await fresh.pull("w")).values.tolist() == [3]
    await link.follow(fold(place, "w", layout, 0))
    async with ParameterServer(redis_url + "#", name=ps.name) as fresh:
        assert (await fresh.pull("w")).values.tolist() == [3]
