"""Loops that pull and push: what they see, what Redis gets, and what is lost when (nothing)."""

from typing import Any, Literal

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric import ConfigurationError
from asyncfabric.params import ParameterError, ParameterServer, ServerUnreachable, StaleUpdate
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy

SIZES = [1000, 200_000, 1_300_000]


@pytest.mark.parametrize("every", [1, 2, 5])
@pytest.mark.parametrize("size", SIZES)
async def test_a_loop_sees_its_own_and_what_others_pushed(
    ps: ParameterServer, redis_url: str, size: int, every: int
) -> None:
    """Its own at once, those of others with the next push that was sent."""
    await ps.put("w", np.zeros(size))
    async with (
        ParameterServer(redis_url + "?", name=ps.name) as other,
        ps.stream("w", every=every) as w,
    ):
        for number in range(12):
            values, _ = await w.pull(indices=[size - 1, 1, 0, size - 1])
            sent = number // every * every
            assert values.tolist() == [number + sent, sent, number + sent, number + sent]
            if number % every == every - 1:
                await other.push("w", np.full(size, float(every)))
            await w.push([1.0, 1.0], indices=[0, size - 1])
        await w.flush()
        values, version = await w.pull()
        others = 12 // every * every
        assert values[[0, 1, -1]].tolist() == [12 + others, others, 12 + others]
        assert version == await ps.version("w")
    assert version == 1 + -(-12 // every) + 12 // every


@pytest.mark.parametrize("dtype", ["float32", "float64"])
async def test_dense_and_sparse_ones_together(
    ps: ParameterServer, dtype: Literal["float32", "float64"]
) -> None:
    await ps.put("w", np.zeros((2, 3), dtype))
    async with ps.stream("w", every=4) as w:
        await w.push(np.ones((2, 3), dtype))
        await w.push(np.array([1, 2], dtype), indices=[5, 5])
        assert (await w.pull()).values.tolist() == [[1, 1, 1], [1, 1, 4]]
        assert (await w.pull(indices=[5])).values.tolist() == [4]
        assert await ps.version("w") == 1
    assert (await ps.pull("w")).values.tolist() == [[1, 1, 1], [1, 1, 4]]
    assert await ps.version("w") == 2


async def test_dense_ones_wait_for_one_that_is_put_anew(
    ps: ParameterServer, redis_url: str
) -> None:
    await ps.put("w", np.zeros(3))
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        async with ps.stream("w", every=3) as w:
            await w.pull()
            await w.push(np.ones(3))
            await w.push([1.0], indices=[2])
            await other.put("w", np.full(3, 10.0))
            await ps.pull("w")  # this process knows now
            assert (await w.pull()).values.tolist() == [11, 11, 12]
        assert (await other.pull("w")).values.tolist() == [11, 11, 12]


async def test_arrays_that_are_used_again(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(3))
    delta, indices = np.ones(1), np.array([0])
    async with ps.stream("w", every=2) as w:
        for number in range(4):
            delta[:] = number
            indices[:] = number % 3
            await w.push(delta, indices=indices)
            delta[:] = 100
            indices[:] = 2
    assert (await ps.pull("w")).values.tolist() == [3, 1, 2]


@pytest.mark.parametrize(("every", "trips"), [(1, 20), (5, 4), (20, 1)])
async def test_round_trips(start_redis: StartRedis, every: int, trips: int) -> None:
    """One for each push that is sent, which brings what the next pulls need."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", np.zeros(10))
        await ps.pull("w")
        before = proxy.passed
        async with ps.stream("w", every=every) as w:
            for number in range(20):
                assert (await w.pull(indices=[3])).values.tolist() == [number]
                await w.push([1.0], indices=[3])
        assert proxy.passed - before == 1 + trips  # the first pull


async def test_a_pull_after_a_pull_asks_redis(ps: ParameterServer, redis_url: str) -> None:
    await ps.put("w", [0.0])
    async with (
        ParameterServer(redis_url + "?", name=ps.name) as other,
        ps.stream("w", every=100) as w,
    ):
        await w.pull()
        await w.push([1.0])
        await other.push("w", [5.0])
        assert (await w.pull()).values.tolist() == [1]
        assert (await w.pull()).values.tolist() == [6]


async def test_staleness_counts_what_others_pushed(ps: ParameterServer, redis_url: str) -> None:
    await ps.put("w", [0.0])
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        async with ps.stream("w") as w:
            for late in (0, 2, 0, 3):
                await w.pull()
                for _ in range(late):
                    await other.push("w", [1.0])
                await w.push([1.0])
                await w.flush()
        assert (await other.staleness("w")).counts == {0: 2, 2: 1, 3: 1}


async def test_a_push_too_stale_is_told_in_the_next_operation(redis_url: str) -> None:
    """The pull after that has what is new."""
    async with (
        ParameterServer(redis_url, name="stale stream", max_staleness=1) as ps,
        ParameterServer(redis_url + "?", name="stale stream") as other,
    ):
        await ps.put("w", [0.0])
        async with ps.stream("w") as w:
            await w.pull()
            for _ in range(2):
                await other.push("w", [10.0])
            await w.push([1.0])
            with pytest.raises(StaleUpdate, match="2 pushes"):
                await w.pull()
            assert (await w.pull()).values.tolist() == [20]
            await w.push([1.0])
        assert (await other.pull("w")).values.tolist() == [21]


async def test_what_does_not_fit_is_told_at_once(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(3))
    async with ps.stream("w", every=2) as w:
        for delta, indices, error in (
            ([1.0], [3], IndexError),
            ([1.0, 2.0], [0], ValueError),
            ([np.nan], [0], ValueError),
            (np.ones(4), None, ValueError),
            (np.ones(3, np.float32), None, TypeError),
        ):
            with pytest.raises(error):
                await w.push(delta, indices=indices)
        await w.push(np.ones(3))
        assert (await w.pull()).values.tolist() == [1, 1, 1]
    assert (await ps.pull("w")).values.tolist() == [1, 1, 1]


async def test_a_parameter_that_is_put_anew_meanwhile(ps: ParameterServer, redis_url: str) -> None:
    """What was pushed goes to the one that there is when it is sent, and fits or is refused."""
    await ps.put("w", np.zeros(3))
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        async with ps.stream("w", every=2) as w:
            await w.pull()
            await w.push([1.0], indices=[0])
            await other.put("w", np.full(5, 100.0))
            await w.push([1.0], indices=[1])
            assert (await w.pull()).values.tolist() == [101, 101, 100, 100, 100]
            await w.push([1.0], indices=[4])
            await other.put("w", np.zeros(2))
            await w.push([1.0], indices=[1])
            with pytest.raises(IndexError, match="2 elements"):
                await w.pull()
            assert (await w.pull()).values.tolist() == [0, 0]
        assert (await other.pull("w")).values.tolist() == [0, 0]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_connection(start_redis: StartRedis, when: str) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", [0.0])
        async with ps.stream("w", every=2) as w:
            for number in range(20):
                assert (await w.pull()).values.tolist() == [number]
                proxy.cut(when, b"EVALSHA")
                await w.push([1.0])
        assert proxy.cuts >= 10
        assert (await ps.pull("w")).values.tolist() == [20]


async def test_a_redis_that_comes_back_empty(start_redis: StartRedis) -> None:
    """Told by the next operation; afterwards the stream goes on with what was restored."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [0.0])
        async with ps.stream("w") as w:
            await w.pull()
            await w.push([1.0])
            await w.flush()
            server.kill()
            server.restart()
            await w.push([1.0])
            with pytest.raises(af.params.ParameterNotFound, match="restore"):
                await w.pull()
            await ps.put("w", [7.0])
            assert (await w.pull()).values.tolist() == [7]
            await w.push([1.0])
            assert (await w.pull()).values.tolist() == [8]


async def test_a_redis_that_lost_the_latest_pushes(start_redis: StartRedis) -> None:
    """What the stream had of them goes with the next answer."""
    server = start_redis()
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", [0.0])
        with client_of(server.url) as client:
            client.save()
        async with ps.stream("w") as w:
            for _ in range(3):
                await w.pull()
                await w.push([100.0])
            await w.flush()
            server.kill()
            server.restart()
            async with ParameterServer(server.url + "?", name="m") as other:
                for _ in range(5):
                    await other.push("w", [1.0])
            await w.push([0.5])
            assert (await w.pull()).values.tolist() == [5.5]
            await w.push([0.5])
            assert (await w.pull()).values.tolist() == [6]


async def test_nobody_answers(start_redis: StartRedis) -> None:
    server = start_redis()
    async with ParameterServer(server.url, name="m", patience=0.3) as ps:
        await ps.put("w", [0.0])
        stream = ps.stream("w")

        async def loop() -> None:
            async with stream:
                await stream.pull()
                server.kill()
                await stream.push([1.0])

        with pytest.raises(ServerUnreachable, match="once or not at all"):
            await loop()
        with pytest.raises(RuntimeError, match="with"):
            await stream.push([1.0])


async def test_memory_is_full(start_redis: StartRedis) -> None:
    """Nothing of that push is applied, and what was sent before is."""
    server = start_redis("--maxmemory", "6mb")
    async with ParameterServer(server.url, name="m") as ps:
        await ps.put("w", np.zeros(60_000))
        await ps.put("small", [0.0])
        pushed = 0

        async def fill() -> None:
            nonlocal pushed
            async with ps.stream("small") as small:
                for number in range(20):
                    await ps.put(f"x{number}", np.ones(60_000))
                    await small.push([1.0])
                    await small.flush()
                    pushed += 1

        with pytest.raises(ParameterError, match=r"memory limit.*maxmemory"):
            await fill()
        assert (await ps.pull("small")).values.tolist() == [pushed]


async def test_an_exception_in_the_block(ps: ParameterServer) -> None:
    """What was sent was applied, what waits is dropped."""
    await ps.put("w", [0.0])

    async def loop() -> None:
        async with ps.stream("w", every=2) as w:
            for _ in range(3):
                await w.push([1.0])
            raise KeyError

    with pytest.raises(KeyError):
        await loop()
    assert (await ps.pull("w")).values.tolist() == [2]


@pytest.mark.parametrize("every", [0, -1])
def test_arguments(every: int) -> None:
    ps = ParameterServer("redis://host", name="m")
    with pytest.raises(ConfigurationError, match="every="):
        ps.stream("w", every=every)
    half: Any = 0.5
    with pytest.raises(TypeError, match="every="):
        ps.stream("w", every=half)
    with pytest.raises(TypeError, match="name"):
        ps.stream("")


async def test_only_in_its_block(ps: ParameterServer) -> None:
    stream = ps.stream("w")
    with pytest.raises(RuntimeError, match="enter it"):
        await stream.pull()


async def test_copies_of_any_age_are_not_what_is_pulled(
    ps: ParameterServer, redis_url: str
) -> None:
    """Neither of shards beside the loop's latest pulls, nor before its first one."""
    there = 70_000  # in the second shard
    await ps.put("w", np.zeros(2 * there))
    await ps.pull("w")
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        await other.push("w", [100.0], indices=[there])
        async with ps.stream("w") as w:
            await w.pull(indices=[0])
            await w.push([5.0], indices=[there])
            values, version = await w.pull(indices=[there])
            assert (values.tolist(), version) == ([105], 3)
        await other.push("w", [100.0], indices=[there])
        async with ps.stream("w", every=2) as w:
            for _ in range(3):
                await w.push([5.0], indices=[there])
            values, version = await w.pull(indices=[there])
            assert (values.tolist(), version) == ([220], 5)


async def test_more_shards_than_an_answer_brings(ps: ParameterServer, redis_url: str) -> None:
    size = 65 * 131_072
    await ps.put("w", np.zeros(size, np.float32))
    async with (
        ParameterServer(redis_url + "?", name=ps.name) as other,
        ps.stream("w") as w,
    ):
        for number in range(3):
            values, _ = await w.pull()
            assert values[[0, -1]].tolist() == [2 * number] * 2
            await other.push("w", [1.0, 1.0], indices=[0, size - 1])
            await w.push([1.0, 1.0], indices=[0, size - 1])


async def test_staleness_of_pushes_that_come_from_one_pull(
    ps: ParameterServer, redis_url: str
) -> None:
    await ps.put("w", [0.0])
    async with ParameterServer(redis_url + "?", name=ps.name) as other, ps.stream("w") as w:
        await w.pull()
        for _ in range(3):
            await w.push([1.0])
            await w.flush()
            for _ in range(2):
                await other.push("w", [1.0])
        assert (await other.staleness("w")).counts == {0: 1, 2: 1, 4: 1}


async def test_what_waits_for_a_parameter_that_it_no_longer_fits(
    ps: ParameterServer, redis_url: str
) -> None:
    """Told once; then the loop can go on."""
    await ps.put("w", np.zeros(5))
    async with (
        ParameterServer(redis_url + "?", name=ps.name) as other,
        ps.stream("w", every=3) as w,
    ):
        await w.push([1.0], indices=[4])
        await other.put("w", np.zeros(2))
        await ps.pull("w")  # this process knows now
        with pytest.raises(IndexError, match="2 elements"):
            await w.pull()
        await w.push([1.0], indices=[0])
        assert (await w.pull()).values.tolist() == [1, 0]
