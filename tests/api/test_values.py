"""shared=, refs, results="ref", put, and random numbers that are the same everywhere."""

import itertools
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from tests.api.until import untyped
from tests.api.work import echo, note, noted

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Counted:
    """Leaves a mark each time it is decoded."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def __reduce__(self) -> Any:
        return _decode, (self.directory,)


def _decode(directory: str) -> Counted:
    import os

    note(directory, os.getpid())
    return Counted(directory)


def use_shared(x: int, *, value: Any) -> int:
    import os

    return os.getpid()


async def use_shared_async(x: int, *, value: Any) -> int:
    return use_shared(x, value=value)


def add(x: int, *, table: Any) -> int:
    return int(x + table[x])


@pytest.mark.parametrize("function", [use_shared, use_shared_async])
async def test_shared_is_decoded_once_per_process(
    fabric: af.Fabric, tmp_path: Path, function: Any
) -> None:
    shared = {"value": Counted(str(tmp_path))}
    pids = {
        pid
        for _ in range(3)
        for pid in await fabric.map(function, range(50), shared=shared, chunksize=1)
    }
    assert noted(tmp_path) == {str(pid): 1 for pid in pids}


@pytest.mark.leaky("the inline backend keeps shared values, mapped from their files")
@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_shared_arrays_are_read_only(fabric: af.Fabric, size: int) -> None:
    table = np.arange(size)
    assert await fabric.map(add, range(10), shared={"table": table}) == [2 * x for x in range(10)]
    ref = await fabric.put(table)
    assert await fabric.map(add, range(10), shared={"table": ref}) == [2 * x for x in range(10)]
    if size > 10_000:  # a small one is copied out of its pickle
        with pytest.raises(ValueError, match="read-only"):
            await fabric.map(_write, [1], shared={"table": table})
    assert table.flags.writeable


def _write(x: int, *, table: Any) -> None:
    table[0] = 1


async def test_two_shared_values_and_starmap(fabric: af.Fabric) -> None:
    shared = {"b": 10, "a": [100]}
    assert await fabric.starmap(_two, [(1, 2), (3, 4)], shared=shared) == [113, 117]
    with pytest.raises(TypeError, match="unexpected keyword"):
        await fabric.map(_two, [1], shared={"c": 1})


def _two(x: int, y: int, *, a: list[int], b: int) -> int:
    return x + y + a[0] + b


async def test_shared_that_cannot_be_sent_is_named(fabric: af.Fabric) -> None:
    with pytest.raises(af.SerializationError, match=r"shared 'value'.*lock"):
        await fabric.map(use_shared, [1], shared={"value": [threading.Lock()]})


async def test_refs(fabric: af.Fabric) -> None:
    ref = await fabric.put({"a": [1, 2]})
    assert await ref.get() == {"a": [1, 2]}
    assert await fabric.submit(echo, ref) == {"a": [1, 2]}
    assert await fabric.map(echo, [ref, 3]) == [{"a": [1, 2]}, 3]
    assert await fabric.starmap(_pair, [(ref, 1), (2, ref)]) == [
        ({"a": [1, 2]}, 1),
        (2, {"a": [1, 2]}),
    ]
    again = pickle.loads(pickle.dumps(ref))
    assert again == ref
    assert hash(again) == hash(ref)
    assert await again.get() == {"a": [1, 2]}
    assert await fabric.put({"a": [1, 2]}) == ref
    assert await fabric.put({"a": [1]}) != ref
    assert "Ref" in repr(ref)


def _pair(a: object, b: object) -> object:
    return a, b


async def test_a_ref_deeper_in_an_argument_stays_a_ref(fabric: af.Fabric) -> None:
    ref = await fabric.put(3)
    ((back,),) = await untyped(fabric).map(echo, [[ref]])
    assert back == ref
    assert await back.get() == 3
    assert await fabric.submit(_get_inside, [ref]) == 3


async def _get_inside(refs: "list[af.Ref[int]]") -> int:
    return await refs[0].get()


@pytest.mark.parametrize("chunksize", [1, "auto"])
async def test_results_by_reference(fabric: af.Fabric, chunksize: Any) -> None:
    refs = await fabric.map(_zeros, range(5), results="ref", chunksize=chunksize)
    assert all(isinstance(ref, af.Ref) for ref in refs)
    assert [len(await ref.get()) for ref in refs] == [0, 1000, 2000, 3000, 4000]
    assert await untyped(fabric).map(len, refs) == [0, 1000, 2000, 3000, 4000]
    streamed = [ref async for ref in fabric.map(_zeros, range(5), results="ref")]
    assert streamed == refs


def _zeros(x: int) -> bytes:
    return bytes(1000 * x)


async def test_a_ref_whose_object_is_gone(fabric: af.Fabric) -> None:
    ref = await fabric.put("short-lived")
    async for info in fabric.store.list():
        await fabric.store.delete(info.key)
    with pytest.raises(af.ObjectNotFound):
        await ref.get()
    with pytest.raises((af.ObjectNotFound, af.RemoteError)):
        await fabric.submit(echo, ref)


async def test_the_store_inside_a_worker(fabric: af.Fabric) -> None:
    await fabric.store.put("data/a", b"abc")
    assert await fabric.submit(_read, "data/a") == b"abc"


async def _read(key: str) -> bytes:
    return bytes(await af.current().store.get(key))


# -- random numbers --------------------------------------------------------------------------------


def draw(x: int) -> bytes:
    return af.current().rng().standard_normal(4).tobytes()


async def draw_async(x: int) -> bytes:
    return draw(x)


def expected(seed: int, count: int) -> list[bytes]:
    children = np.random.SeedSequence(seed).spawn(count)
    return [np.random.default_rng(child).standard_normal(4).tobytes() for child in children]


@pytest.mark.parametrize("function", [draw, draw_async])
@pytest.mark.parametrize("chunksize", [1, 7, "auto"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_random_numbers_depend_on_seed_and_index_alone(
    fabric: af.Fabric, function: Any, chunksize: Any, ordered: bool
) -> None:
    options: Any = {"chunksize": chunksize, "ordered": ordered}
    assert await fabric.map(function, range(30), seed=42, **options) == expected(42, 30)
    calls = af.as_completed(fabric.map(function, range(30), seed=42, **options))
    assert {call.index: call.result() async for call in calls} == dict(enumerate(expected(42, 30)))


async def test_seeds_differ_unless_they_are_given(fabric: af.Fabric) -> None:
    first, second = await fabric.map(draw, range(5)), await fabric.map(draw, range(5))
    assert len({*first, *second}) == 10
    assert await fabric.map(draw, range(5), seed=0) == expected(0, 5)


async def test_a_retried_call_draws_the_same_numbers(fabric: af.Fabric, tmp_path: Path) -> None:
    stubborn = fabric.with_options(retry=af.Retry(attempts=3, on=(OSError,), base=0.0))
    inputs = zip(itertools.repeat(str(tmp_path)), range(10), strict=False)
    assert await stubborn.starmap(_draw_second, inputs, seed=1) == expected(1, 10)


def _draw_second(directory: str, x: int) -> bytes:
    numbers = draw(x)
    if af.current().attempt == 1:
        raise OSError("try again")
    return numbers
