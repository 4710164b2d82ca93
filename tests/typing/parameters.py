"""What a `ParameterServer` is typed as, awaited and blocking. Checked, never run."""

from collections.abc import Mapping
from typing import Any, TypeAlias, assert_type

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import (
    BlockingParameterServer,
    BlockingStream,
    Layout,
    ParameterServer,
    Pull,
    ServerUnreachable,
    Snapshot,
    Staleness,
    StaleUpdate,
    Stream,
)

Floats: TypeAlias = NDArray[np.floating[Any]]


def servers() -> None:
    ParameterServer(name="model")
    ParameterServer("redis://host/0", name="model", prefix="job-7", max_staleness=8, patience=5)
    assert_type(af.params.ParameterServer(name="model").blocking, BlockingParameterServer)


class Special(ParameterServer):
    """A class of the user's own keeps its type."""


async def life() -> None:
    async with Special("redis://host", name="model", password_env="REDIS_PASSWORD") as ps:
        assert_type(ps, Special)
        assert_type(ps.name, str)
    await ParameterServer(name="model").aclose()


async def reading(ps: ParameterServer) -> None:
    assert_type(await ps.pull("w"), Pull)
    values, version = await ps.pull("w", indices=[0, 5])
    assert_type(values, Floats)
    assert_type(version, int)
    assert_type((await ps.pull("w", indices=np.arange(3))).version, int)
    assert_type(await ps.pull("w", shards=range(2)), Pull)
    assert_type(await ps.version("w"), int)
    assert_type(await ps.parameters(), dict[str, Layout])


async def writing(ps: ParameterServer, weights: Floats) -> None:
    assert_type(await ps.push("w", weights), int)
    assert_type(await ps.push("w", [1.0, 2], indices=[0, 5], version=3, token="batch 7"), int)
    assert_type(await ps.push("w", weights, shards=[0]), int)
    await ps.put("w", weights)
    await ps.put("w", np.zeros((2, 3), np.float32))
    await ps.put("w", [[1.0, 2.0]])
    await ps.delete("w")
    snapshot = await ps.snapshot()
    assert_type(snapshot, Snapshot)
    assert_type(snapshot.values, Mapping[str, Floats])
    assert_type(Snapshot.from_bytes(snapshot.to_bytes()), Snapshot)
    await ps.restore(snapshot)
    await ps.restore({"w": weights, "bias": [0.0]})


async def streams(ps: ParameterServer, weights: Floats) -> None:
    assert_type(ps.stream("w"), Stream)
    async with ps.stream("w", every=8) as stream:
        assert_type(stream, Stream)
        assert_type(await stream.pull(indices=[1, 2]), Pull)
        await stream.push(weights, indices=np.arange(3))
        await stream.flush()


async def staleness(ps: ParameterServer) -> None:
    found = await ps.staleness("w")
    assert_type(found, Staleness)
    assert_type(found.counts, Mapping[int, int])
    assert_type(found.mean, float)
    assert_type(found.quantile(0.95), int)
    assert_type(found.most, int)
    try:
        await ps.push("w", 1.0, version=1)
    except StaleUpdate as error:
        assert_type(error.staleness, int)
    except ServerUnreachable as error:
        lost: ConnectionError = error
        print(lost)


def step(batch: list[int], ps: ParameterServer) -> float:
    """Do the same things, blocking."""
    assert_type(ps.blocking.pull("w", indices=batch), Pull)
    assert_type(ps.blocking.push("w", [0.1] * len(batch), indices=batch), int)
    assert_type(ps.blocking.version("w"), int)
    assert_type(ps.blocking.snapshot(), Snapshot)
    with ps.blocking.stream("w", every=2) as stream:
        assert_type(stream, BlockingStream)
        assert_type(stream.pull(), Pull)
        stream.push(1.0)
    return 1.0


async def in_a_map(fabric: af.Fabric, ps: ParameterServer) -> None:
    assert_type(await fabric.map(step, [[1, 2], [3]], shared={"ps": ps}), list[float])
