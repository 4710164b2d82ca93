"""What was put and pushed is what is pulled: whole, at indices, by shards, in both precisions."""

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import DTypeLike

from asyncfabric import ConfigurationError
from asyncfabric.params import ParameterNotFound, ParameterServer, Pull
from asyncfabric.params._link import link_to
from asyncfabric.params._pull import pull
from asyncfabric.params._replica import REPLICAS
from asyncfabric.params._scripts import PULL, PULL_BYTES
from asyncfabric.params._steps import Steps
from tests.redis_server import client_of

SHARD = 65_536  # elements of float64


@pytest.mark.parametrize("dtype", ["float32", "float64"])
async def test_what_was_put_is_pulled_in_its_shape(ps: ParameterServer, dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(300, 700)).astype(dtype)
    await ps.put("w", values)
    pulled, version = await ps.pull("w")
    assert pulled.dtype == values.dtype
    assert pulled.shape == (300, 700)
    assert pulled.tobytes() == values.tobytes()
    assert version == 1


@pytest.mark.parametrize("dtype", [">f8", ">f4"])
async def test_other_byte_orders_are_converted(ps: ParameterServer, dtype: DTypeLike) -> None:
    await ps.put("w", np.arange(5, dtype=dtype))
    await ps.push("w", np.ones(5, dtype))
    assert (await ps.pull("w")).values.tolist() == [1, 2, 3, 4, 5]


async def test_pushes_add_up(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros((2, 3)))
    await ps.push("w", np.arange(6.0).reshape(2, 3))
    await ps.push("w", [10.0, 0.5], indices=[5, 0])
    values, version = await ps.pull("w")
    assert values.tolist() == [[0.5, 1, 2], [3, 4, 15]]
    assert version == 3


async def test_an_index_given_twice_is_added_to_twice(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(3 * SHARD))
    at = [2 * SHARD, 7, 2 * SHARD, 7, 7]
    await ps.push("w", np.ones(5), indices=at)
    assert (await ps.pull("w", indices=at)).values.tolist() == [2, 3, 2, 3, 3]


async def test_across_shards(ps: ParameterServer) -> None:
    size = 3 * SHARD + 5
    await ps.put("w", np.zeros(size))
    expected = np.zeros(size)
    rng = np.random.default_rng(1)
    for _ in range(20):
        at = rng.integers(0, size, 1000)
        by = rng.integers(-8, 8, 1000).astype(float)
        await ps.push("w", by, indices=at)
        np.add.at(expected, at, by)
    await ps.push("w", np.full(size, 0.25))
    expected += 0.25
    assert ((await ps.pull("w")).values == expected).all()
    at = rng.integers(0, size, 500)
    assert ((await ps.pull("w", indices=at)).values == expected[at]).all()
    last, first = expected[3 * SHARD :], expected[:SHARD]
    assert ((await ps.pull("w", shards=[3, 0])).values == np.concatenate([last, first])).all()


async def test_some_shards_are_pushed(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(2 * SHARD + 3))
    await ps.push("w", np.ones(3 + SHARD), shards=[2, 0])
    values = (await ps.pull("w")).values
    assert values[:SHARD].all()
    assert not values[SHARD : 2 * SHARD].any()
    assert values[2 * SHARD :].tolist() == [1, 1, 1]


async def test_no_indices_are_no_change(ps: ParameterServer) -> None:
    await ps.put("w", np.ones(3))
    empty = await ps.pull("w", indices=[])
    assert empty.values.shape == (0,)
    assert (await ps.pull("w", indices=np.arange(0))).version == 1
    assert await ps.push("w", [], indices=[]) == 2
    assert (await ps.pull("w")).values.tolist() == [1, 1, 1]


async def test_a_scalar_is_a_parameter(ps: ParameterServer) -> None:
    await ps.put("count", 0)
    await ps.push("count", 1)
    await ps.push("count", 2.5)
    assert float((await ps.pull("count")).values) == 3.5


async def test_lists_and_numbers_take_the_parameters_precision(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(2, np.float32))
    await ps.push("w", [0.1, 0.2])
    assert (await ps.pull("w")).values.tolist() == np.array([0.1, 0.2], np.float32).tolist()


async def test_what_is_pulled_is_the_callers_own(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(4))
    (await ps.pull("w")).values[:] = 99
    assert not (await ps.pull("w")).values.any()


async def test_a_large_push_goes_in_parts_and_counts_once(ps: ParameterServer) -> None:
    size = 20 * SHARD  # 10 MB
    await ps.put("w", np.zeros(size))
    for _ in range(3):
        await ps.push("w", np.ones(size))
    values, version = await ps.pull("w")
    assert (values == 3).all()
    assert version == 4


async def test_logs_are_folded(ps: ParameterServer, redis_url: str) -> None:
    """A Redis that is pushed to for ever doesn't grow for ever."""
    await ps.put("w", np.zeros(100))
    for _ in range(30):
        await asyncio.gather(*(ps.push("w", np.ones(100)) for _ in range(100)))
    await ps.push("w", np.ones(100))
    assert ((await ps.pull("w")).values == 3001).all()
    with client_of(redis_url) as client:
        (log,) = client.keys(f"*{ps.name}*:log")
        assert client.llen(log) <= 3 * 512
    # Who never saw it reads the base and what came since.
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        assert ((await other.pull("w")).values == 3001).all()


async def test_a_laggard_catches_up(ps: ParameterServer, redis_url: str) -> None:
    """A copy older than all that the log still holds is replaced."""
    await ps.put("w", np.zeros(10))
    async with ParameterServer(redis_url + "?", name=ps.name) as laggard:
        await laggard.pull("w")
        for turn in range(2000):
            await ps.push("w", [1.0], indices=[turn % 10])
        assert ((await laggard.pull("w")).values == 200).all()


async def test_put_replaces_whatever_was_there(ps: ParameterServer, redis_url: str) -> None:
    await ps.put("w", np.zeros(2 * SHARD))
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        await other.pull("w")  # it knows the former layout
        await ps.put("w", np.ones((2, 2), np.float32))
        values, version = await other.pull("w")
        assert values.tolist() == [[1, 1], [1, 1]]
        assert version == 2
        await other.push("w", np.ones((2, 2), np.float32))
    assert (await ps.pull("w")).values.tolist() == [[2, 2], [2, 2]]


async def test_delete_leaves_nothing(ps: ParameterServer, redis_url: str) -> None:
    await ps.put("w", np.zeros(2 * SHARD))
    version = (await ps.pull("w")).version
    await ps.push("w", [1.0], indices=[3], version=version)
    await ps.delete("w")
    await ps.delete("w")
    with pytest.raises(ParameterNotFound, match="no parameter 'w'"):
        await ps.pull("w")
    with client_of(redis_url) as client:
        left = [key.decode().rpartition(":")[2] for key in client.keys(f"*{ps.name}*")]
    assert left == ["seen"]


async def test_what_there_is(ps: ParameterServer) -> None:
    assert await ps.parameters() == {}
    await ps.put("b", np.zeros(3, np.float32))
    await ps.put("a", np.zeros((100, 2000)))
    found = await ps.parameters()
    assert list(found) == ["a", "b"]
    assert (found["a"].shape, found["a"].dtype, found["a"].shards) == ((100, 2000), "float64", 4)
    assert [found["a"].length(shard) for shard in range(4)] == [SHARD] * 3 + [200_000 - 3 * SHARD]


async def test_servers_of_different_names_and_prefixes_are_apart(redis_url: str) -> None:
    async with (
        ParameterServer(redis_url, name="apart") as one,
        ParameterServer(redis_url, name="apart", prefix="job-7") as two,
    ):
        await one.put("w", [1.0])
        await two.put("w", [2.0])
        assert (await one.pull("w")).values.tolist() == [1]
        assert (await two.pull("w")).values.tolist() == [2]


@pytest.mark.parametrize(
    ("delta", "options", "error", "words"),
    [
        (np.zeros(4), {}, ValueError, r"shape \(4,\).*\(3,\)"),
        (np.zeros(3, np.float32), {}, TypeError, "float32.*float64"),
        (np.zeros(3, int), {}, TypeError, "int64"),
        (["a"], {}, TypeError, "float32 or float64"),
        ([0, np.nan, np.inf], {}, ValueError, "2 values that are NaN or infinite"),
        ([], {}, ValueError, "empty"),
        ([1.0], {"indices": [3]}, IndexError, "from 3 to 3.*3 elements"),
        ([1.0], {"indices": [-1]}, IndexError, "from -1"),
        ([1.0], {"indices": [0.5]}, TypeError, "integers"),
        ([1.0, 2.0], {"indices": [0]}, ValueError, "1 indices"),
        ([1.0], {"shards": [1]}, ValueError, "from 0 to 0"),
        ([1.0], {"shards": [0], "indices": [0]}, ValueError, "not both"),
    ],
)
async def test_what_does_not_fit_changes_nothing(
    ps: ParameterServer, delta: Any, options: Any, error: type[Exception], words: str
) -> None:
    await ps.put("w", np.zeros(3))
    with pytest.raises(error, match=words):
        await ps.push("w", delta, **options)
    values, version = await ps.pull("w")
    assert (values.tolist(), version) == ([0, 0, 0], 1)


async def test_versions_and_staleness(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(2))
    assert str(await ps.staleness("w")) == "no push said what version it was computed from"
    seen = await ps.version("w")
    assert await ps.push("w", [1.0, 1.0], version=seen) == seen + 1  # nothing between
    assert await ps.push("w", [1.0, 1.0]) == seen + 2  # not measured
    for late in (2, 3, 4):
        assert await ps.push("w", [1.0, 1.0], version=seen) == seen + late + 1
    found = await ps.staleness("w")
    assert found.counts == {0: 1, 2: 1, 3: 1, 4: 1}
    assert (found.pushes, found.mean, found.most) == (4, 2.25, 4)
    assert [found.quantile(share) for share in (0, 0.25, 0.5, 1)] == [0, 0, 2, 4]


async def test_a_laggard_is_not_sent_everything_at_once(
    ps: ParameterServer, redis_url: str
) -> None:
    """What it reads is of one moment nevertheless."""
    await ps.put("w", np.zeros(40 * 65536))
    async with ParameterServer(redis_url + "?", name=ps.name) as other:
        await other.pull("w")
        for _ in range(3):
            await ps.push("w", np.ones(40 * 65536))
        most = 0
        place = await other._home.place()
        link = link_to(place.address, other._home.user)

        def counting() -> Steps[Pull]:
            nonlocal most
            pulling = pull(place, "w")
            commands = next(pulling)
            with contextlib.suppress(StopIteration):
                while True:
                    answer = yield commands
                    for reply in answer.replies if commands and PULL.digest in commands[0] else ():
                        sizes = [len(entry) for shard in reply[2] for entry in shard[2]]
                        most = max(most, sum(sizes))
                    commands = pulling.send(answer)
            return (yield from pull(place, "w"))

        assert ((await link.follow(counting())).values == 3).all()
        assert 0 < most <= 2 * PULL_BYTES


async def test_a_number_too_large_for_the_parameter(ps: ParameterServer) -> None:
    await ps.put("w", np.zeros(1, np.float32))
    with pytest.raises(ValueError, match=r"float32.*infinite"):
        await ps.push("w", [1e300])
    assert (await ps.pull("w")).values.tolist() == [0]


async def test_versions_that_no_pull_returned(ps: ParameterServer) -> None:
    """They would spoil what is known of staleness for good."""
    await ps.put("w", [0.0])
    for version in (-1, -(2**70)):
        with pytest.raises(ValueError, match="a pull returned"):
            await ps.push("w", [1.0], version=version)
    assert (await ps.staleness("w")).pushes == 0
    assert (await ps.pull("w")).values.tolist() == [0]


async def test_staleness_is_of_what_was_put_last(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    await ps.push("w", [1.0], version=1)
    await ps.put("w", [0.0])
    assert (await ps.staleness("w")).pushes == 0


@pytest.mark.parametrize("text", ["", "a:b", "a{b", "a}b", "a*", "a?", "a[b"])
def test_names_that_could_be_anothers(text: str) -> None:
    with pytest.raises(ConfigurationError, match="name="):
        ParameterServer("redis://host", name=text)
    with pytest.raises(ConfigurationError, match="prefix="):
        ParameterServer("redis://host", name="m", prefix=text)


async def test_copies_of_what_is_over_are_dropped(ps: ParameterServer) -> None:
    before = len(REPLICAS._copies)
    for number in range(5):
        await ps.put("w", np.full(200_000, float(number)))
        await ps.pull("w")
    assert len(REPLICAS._copies) - before == 4  # shards
    await ps.aclose()
    assert len(REPLICAS._copies) == before


async def test_what_is_remembered_goes_some_time_after_the_last_parameter(
    ps: ParameterServer, redis_url: str
) -> None:
    await ps.put("w", [0.0])
    with client_of(redis_url) as client:
        (key,) = client.keys(f"*{ps.name}*:seen")
        assert client.ttl(key) == -1
        await ps.delete("w")
        assert client.ttl(key) > 0
        await ps.put("w", [0.0])
        assert client.ttl(key) == -1


async def test_an_index_given_very_often(ps: ParameterServer, redis_url: str) -> None:
    """The log doesn't hold more than the shard's size for it."""
    await ps.put("w", [0.0, 0.0])
    for _ in range(3):
        await ps.push("w", np.ones(100_000), indices=np.zeros(100_000, int))
    assert (await ps.pull("w")).values.tolist() == [300_000, 0]
    with client_of(redis_url) as client:
        (key,) = client.keys(f"*{ps.name}*:log")
        assert client.memory_usage(key, samples=0) < 10_000
