"""What the type checkers must refuse of parameter servers; see calls.py for the marks."""

import numpy as np

import asyncfabric as af
from asyncfabric.params import ParameterServer, Snapshot


def servers() -> None:
    ParameterServer("redis://host", name="model")
    ParameterServer("redis://host")  # error
    ParameterServer("redis://host", "model")  # error
    ParameterServer(name=b"model")  # error
    ParameterServer(6379, name="model")  # error
    ParameterServer(name="model", max_staleness="8")  # error
    ParameterServer(name="model", password="secret")  # error
    with ParameterServer(name="model"):  # error
        pass


async def reading(ps: ParameterServer) -> None:
    await ps.pull("w", indices=[1])
    await ps.pull(7)  # error
    await ps.pull("w", [1])  # error
    await ps.pull("w", shards=2)  # error
    await ps.pull("w", index=1)  # error
    (await ps.pull("w")).sum()  # error
    print(ps.pull("w").values)  # error
    print(ps.staleness("w").mean)  # error


async def writing(ps: ParameterServer) -> None:
    await ps.push("w", np.ones(3), indices=[1, 2, 3], version=7)
    await ps.push("w")  # error
    await ps.push("w", np.ones(3), [1, 2, 3])  # error
    await ps.push("w", np.ones(3), version="7")  # error
    await ps.push("w", ps.pull("w"))  # error
    await ps.push("w", np.ones(3), token=7)  # error
    await ps.put("w")  # error
    await ps.restore(b"AFPARAM1")  # error
    Snapshot.from_bytes("AFPARAM1")  # error
    (await ps.snapshot()).values["w"] = np.ones(3)  # error


async def dropped(ps: ParameterServer) -> None:
    ps.push("w", 1.0)  # error
    ps.put("w", [1.0])  # error


async def streams(ps: ParameterServer) -> None:
    ps.stream("w", 8)  # error
    ps.stream("w", every=0.5)  # error
    with ps.stream("w"):  # error
        pass
    async with ps.blocking.stream("w"):  # error
        pass
    async with ps.stream("w") as stream:
        await stream.push("w", [1.0])  # error
        print(stream.pull().values)  # error


def step(batch: list[int], ps: ParameterServer) -> None:
    values, _ = ps.blocking.pull("w", indices=batch)
    values.upper()  # error
    ps.blocking.push("w", values, batch)  # error
    ps.blocking.aclose()  # error


async def in_a_map(fabric: af.Fabric, ps: ParameterServer) -> None:
    await fabric.map(step, [[1]], shared={"ps": ps})
    await fabric.map(step, ["1"], shared={"ps": ps})  # error
