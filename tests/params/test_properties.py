"""Whatever is done in whatever order: the model is the sum of what was pushed."""

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncfabric.params import Layout, ParameterServer, Snapshot
from asyncfabric.params._entries import apply, dense_entries, sparse_entries

if TYPE_CHECKING:
    from collections.abc import Awaitable

SIZE = 23
# Dyadic numbers: sums of them are exact, so that their order can't matter.
dyadic = st.integers(-(2**20), 2**20).map(lambda number: number / 1024)
dense = st.lists(dyadic, min_size=SIZE, max_size=SIZE)
sparse = st.lists(st.tuples(st.integers(0, SIZE - 1), dyadic), max_size=12)


def layout_of(values: Any, shard: int) -> Layout:
    """Return a layout with shards small enough to have several."""
    whole = Layout.of(values)
    return Layout(whole.dtype, whole.shape, shard, whole.generation)


@given(
    pushes=st.lists(st.one_of(dense, sparse), max_size=20),
    shard=st.integers(1, SIZE),
    dtype=st.sampled_from(["float32", "float64"]),
    cut=st.integers(0, 20),
)
def test_entries_are_the_pushes(pushes: list[Any], shard: int, dtype: str, cut: int) -> None:
    """Applied all at once or in two goes, to any shards: bit for bit what the pushes say."""
    layout = layout_of(np.zeros(SIZE, dtype), shard)
    logs: list[list[bytes]] = [[] for _ in range(layout.shards)]
    expected = np.zeros(SIZE, dtype)
    for push in pushes:
        if len(push) == SIZE and not isinstance(push[0], tuple):
            delta = np.array(push, dtype)
            expected += delta
            found = dense_entries(layout, range(layout.shards), delta)
        else:
            at = np.array([index for index, _ in push], np.int64)
            by = np.array([value for _, value in push], dtype)
            np.add.at(expected, at, by)
            found = sparse_entries(layout, at, by)
        for number, entry in found:
            logs[number].append(entry)
    shards = [np.zeros(layout.length(number), layout.code) for number in range(layout.shards)]
    for elements, log in zip(shards, logs, strict=True):
        apply(layout, elements, log[:cut])
        apply(layout, elements, log[cut:])
    assert np.concatenate(shards).tobytes() == expected.astype(layout.code).tobytes()


@pytest.mark.timeout(120)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pushes=st.lists(st.one_of(dense, sparse), min_size=1, max_size=12),
    split=st.integers(0, 2**12),
    probe=st.lists(st.integers(0, SIZE - 1), max_size=30),
)
def test_any_interleaving_is_the_sum(
    redis_url: str, pushes: list[Any], split: int, probe: list[int]
) -> None:
    async def main() -> None:
        name = secrets.token_hex(6)
        async with (
            ParameterServer(redis_url, name=name) as one,
            ParameterServer(redis_url + "?", name=name) as two,
        ):
            await one.put("w", np.zeros(SIZE))
            expected = np.zeros(SIZE)
            jobs: list[Awaitable[int]] = []
            for number, push in enumerate(pushes):
                ps = two if split >> number & 1 else one
                if len(push) == SIZE and not isinstance(push[0], tuple):
                    expected += push
                    jobs.append(ps.push("w", push))
                else:
                    at = [index for index, _ in push]
                    by = [value for _, value in push]
                    if not at:
                        continue
                    np.add.at(expected, at, by)
                    jobs.append(ps.push("w", by, indices=at))
                if number % 3 == 0:
                    jobs.append(ps.version("w"))
            await asyncio.gather(*jobs)
            for ps in (one, two):
                values, version = await ps.pull("w")
                assert values.tolist() == expected.tolist()
                some = await ps.pull("w", indices=probe)
                assert some.values.tolist() == values[np.array(probe, int)].tolist()
                assert some.version == version
            kept = Snapshot.from_bytes((await one.snapshot()).to_bytes())
            await two.put("w", np.zeros(2))
            await two.restore(kept)
            assert (await one.pull("w")).values.tolist() == expected.tolist()
            await one.delete("w")

    asyncio.run(main())
