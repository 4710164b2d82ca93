# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""What goes through the store and what doesn't, by counting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.testing import LambdaFront
from tests.aws.backend.fronts import CountingStore, cloud, objects

pytestmark = pytest.mark.asyncio(loop_scope="module")

INLINE = 64 * 1024


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    """A store of the test's own, in a directory that it can look at."""
    return CountingStore(tmp_path / "store")


def stored(store: CountingStore) -> list[str]:
    """Return the keys of what is in the store."""
    return objects(Path(store.root))


def on(front: LambdaFront, store: CountingStore, **options: Any) -> Any:
    """Return a Fabric with a low limit."""
    options = {"max_concurrency": 4, "hedge": None, **options}
    return af.Fabric(f"{front.backend}&inline={INLINE}", storage=store, **options)


def big_function(size: int = 20_000) -> Any:
    """Return a function whose packed form is larger than what rides along."""
    import random

    ballast = random.Random(size).randbytes(size)

    def measure(x: int) -> int:
        return len(ballast) + x

    return measure


async def test_small_things_need_no_storage(front: LambdaFront, store: CountingStore) -> None:
    async with on(front, store) as fabric:
        assert await fabric.map(lambda x: x + b"!", [b"x" * 1000] * 20) == [b"x" * 1000 + b"!"] * 20
        assert await fabric.submit(lambda: "y" * 10_000) == "y" * 10_000
        assert store.counts == {}
    assert not Path(store.root).exists()  # not even the workers have written there


async def test_many_small_inputs_need_no_storage_together_either(
    front: LambdaFront, store: CountingStore
) -> None:
    """Those that go together are as many as an invocation can carry."""
    inputs = [bytes([n]) * 4000 for n in range(200)]
    async with on(front, store) as fabric:
        assert await fabric.map(lambda x: x, inputs[:8]) == inputs[:8]  # fast, it turns out
        assert await fabric.map(lambda x: x, inputs) == inputs
        assert store.counts == {}
    assert not Path(store.root).exists()


async def test_a_large_input(front: LambdaFront, store: CountingStore) -> None:
    requests = front.counters.requests
    async with on(front, store) as fabric:
        assert await fabric.submit(len, b"x" * INLINE) == INLINE
    assert store.counts == {"put": 1, "delete": 1}
    assert stored(store) == []
    assert front.counters.requests - requests == 1


async def test_a_large_result(front: LambdaFront, store: CountingStore) -> None:
    async with on(front, store) as fabric:
        assert await fabric.submit(lambda n: b"x" * n, INLINE) == b"x" * INLINE
    assert store.counts == {"get": 1, "delete": 1}
    assert stored(store) == []


async def test_megabytes_both_ways(front: LambdaFront, store: CountingStore) -> None:
    async with on(front, store) as fabric:
        found = await fabric.map(lambda x: x[::-1], [b"ab" * 5_000_000] * 2, chunksize=2)
    assert found == [b"ba" * 5_000_000] * 2
    assert store.counts == {"put": 1, "get": 1, "delete": 2}
    assert stored(store) == []


async def test_just_below_the_highest_limit(front: LambdaFront, store: CountingStore) -> None:
    """Nothing that our API lets through comes near Lambda's 6 MB."""
    size = 4 * 1024 * 1024
    backend = f"{front.backend}&inline={size}"
    async with af.Fabric(backend, storage=store, max_concurrency=1) as fabric:
        for length in (size - 2000, size + 2000):
            data = b"x" * length
            assert await fabric.submit(lambda x: x, data) == data
    assert store.counts == {"put": 1, "get": 1, "delete": 2}


async def test_a_large_input_of_a_call_that_fails(front: LambdaFront, store: CountingStore) -> None:
    def fail(x: bytes) -> None:
        raise LookupError(len(x))

    async with on(front, store) as fabric:
        with pytest.raises(LookupError):
            await fabric.submit(fail, b"x" * INLINE)
    assert store.counts == {"put": 1, "delete": 1}
    assert stored(store) == []


async def test_a_large_input_of_a_call_that_is_cancelled(
    front: LambdaFront, store: CountingStore
) -> None:
    def late(x: bytes) -> bytes:
        import time

        time.sleep(0.3)
        return x

    async with on(front, store) as fabric:
        call = fabric.submit(late, b"x" * INLINE)
        await front.until(lambda counters: counters.running == 1)
        call.cancel()
        await front.until(lambda counters: counters.running == 0)
        assert await fabric.submit(len, b"") == 0
    assert stored(store) == []
    assert "get" not in store.counts  # nobody wants the result


async def test_a_large_input_of_a_call_that_is_left(store: CountingStore) -> None:
    async with cloud(concurrency=None) as (front, _):
        async with on(front, store) as fabric:
            fabric.submit(lambda x: __import__("time").sleep(5), b"x" * INLINE)
            await front.until(lambda counters: counters.running == 1)
        assert stored(store) == []


@pytest.mark.parametrize("length", [10, INLINE])
async def test_arrays_are_writable(front: LambdaFront, store: CountingStore, length: int) -> None:
    def change(array: Any) -> Any:
        array[0] = 7.0
        return array

    async with on(front, store) as fabric:
        found = await fabric.submit(change, np.zeros(length))
        found[1] = 8.0
        assert found.sum() == 15.0


async def test_a_large_function_is_stored_once(store: CountingStore) -> None:
    function = big_function()
    async with (
        cloud(concurrency=None) as (front, _),
        on(front, store, max_concurrency=2) as fabric,
    ):
        assert await fabric.map(function, range(6), chunksize=1) == list(range(20_000, 20_006))
        assert store.counts == {"put_if_absent": 1}
        (key,) = stored(store)
        warm = await fabric.submit(function, 1)
        assert warm == 20_001
        # A worker that has it doesn't look for it.
        Path(store.root, key).unlink()
        assert await fabric.map(function, range(4)) == list(range(20_000, 20_004))
        assert store.counts == {"put_if_absent": 1}


async def test_a_large_function_is_stored_once_by_two_drivers(
    front: LambdaFront, store: CountingStore
) -> None:
    function = big_function(21_000)
    async with on(front, store) as one, on(front, CountingStore(Path(store.root))) as other:
        assert await one.submit(function, 0) == 21_000
        (key,) = stored(store)
        before = Path(store.root, key).stat()
        assert await other.submit(function, 0) == 21_000
        assert stored(store) == [key]
        assert Path(store.root, key).stat() == before


async def test_code_that_was_deleted_is_stored_again(store: CountingStore) -> None:
    function = big_function(22_000)
    async with cloud(concurrency=None) as (front, _), on(front, store) as fabric:
        assert await fabric.submit(function, 0) == 22_000
        (key,) = stored(store)
        Path(store.root, key).unlink()
        await front.recycle()
        calls = [fabric.submit(function, x) for x in range(4)]
        assert [await call for call in calls] == list(range(22_000, 22_004))
        assert stored(store) == [key]
        assert all(len(call.attempts) == 1 for call in calls)  # it cost them nothing
        assert store.counts["put_if_absent"] <= 3


async def test_code_that_no_worker_ever_finds(store: CountingStore) -> None:
    class Lossy(CountingStore):
        """What is stored here is gone at once."""

        async def put_if_absent(self, key: str, data: Any) -> bool:
            self._count("put_if_absent")
            return True

    lossy = Lossy(Path(store.root))
    async with cloud(concurrency=None) as (front, _):
        async with on(front, lossy) as fabric:
            with pytest.raises(af.DeploymentError, match="does not find what this driver stores"):
                await fabric.map(big_function(23_000), range(8), chunksize=1)
        assert lossy.counts["put_if_absent"] < 10


async def test_code_that_was_changed_is_not_run(store: CountingStore) -> None:
    function = big_function(24_000)
    async with cloud(concurrency=None) as (front, _), on(front, store) as fabric:
        await fabric.submit(function, 0)
        (key,) = stored(store)
        Path(store.root, key).write_bytes(b"other code")
        await front.recycle()
        with pytest.raises(Exception, match="changed or damaged"):
            await fabric.submit(function, 0)


async def test_shared_values_are_fetched_once_in_an_environment(store: CountingStore) -> None:
    async with (
        cloud(concurrency=None) as (front, _),
        on(front, store, max_concurrency=1) as fabric,
    ):
        shared = {"table": await fabric.put(list(range(10)))}
        assert await fabric.map(lambda x, *, table: table[x], [1, 2], shared=shared) == [1, 2]
        (key,) = stored(store)
        Path(store.root, key).unlink()
        assert await fabric.map(lambda x, *, table: table[x], [3], shared=shared) == [3]
