# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Copies of invocations that take too long: the first answer counts, and nothing else is left."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.backends import open_backend
from asyncfabric.reporting import Event, InvocationLaunched
from asyncfabric.testing import LambdaFront
from tests.api.until import until
from tests.aws.backend.fronts import CountingStore, objects

pytestmark = pytest.mark.asyncio(loop_scope="module")

EAGER = af.Hedge(least=0.05)
CALLS = 40
LAST = CALLS - 1
INLINE = 64 * 1024


class Watcher:
    """Counts what is launched."""

    def __init__(self, fabric: af.Fabric) -> None:
        self.launched = 0
        self.copies = 0
        fabric._core.observers.append(self)

    def __call__(self, event: Event, /) -> None:
        if isinstance(event, InvocationLaunched):
            self.launched += 1
            self.copies += event.copy


def held(place: Path, executions: int = 1, *, size: int = 0, then: str = "") -> Any:
    """Return a function; so many executions of its last call wait until they are let go.

    The next ones return at once, or end their worker.
    """
    directory = str(place)

    def work(x: int) -> Any:
        import os
        import time

        if x != LAST:
            return x, 0, b""
        number = 0
        while True:
            try:
                open(os.path.join(directory, f"begun.{number}"), "x").close()  # noqa: PTH118, PTH123
            except FileExistsError:
                number += 1
            else:
                break
        until = time.monotonic() + 20
        while number < executions and not os.path.exists(os.path.join(directory, "go")):  # noqa: PTH110, PTH118
            assert time.monotonic() < until, "it was never let go"
            time.sleep(0.005)
        if number >= executions and then == "die":
            os._exit(3)
        return x, number, b"x" * size

    return work


def let_go(place: Path) -> None:
    """Let those go on that are held."""
    (place / "go").touch()


async def test_the_first_answer_counts(front: LambdaFront, tmp_path: Path) -> None:
    async with af.Fabric(front.backend, max_concurrency=4, hedge=EAGER) as fabric:
        work = held(tmp_path)
        await fabric.submit(
            work, 0
        )  # before a function's first call, a worker is asked for modules
        watcher, before = Watcher(fabric), front.counters.executions
        found = await fabric.map(work, range(CALLS), chunksize=1)
        assert [x for x, _, _ in found] == list(range(CALLS))
        assert found[-1][1] >= 1  # the first of them is still held
        assert front.counters.running >= 1
        assert fabric._core.bind().in_flight == front.counters.running
        let_go(tmp_path)
        await until(lambda: fabric._core.bind().in_flight == 0)
        assert await fabric.submit(abs, -1) == 1
    assert watcher.copies >= 1
    assert watcher.launched == CALLS + watcher.copies + 1
    assert front.counters.executions - before == watcher.launched


async def test_the_losers_result_is_deleted_unread(front: LambdaFront, tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "store")
    backend = f"{front.backend}&inline={INLINE}"
    async with af.Fabric(backend, storage=store, max_concurrency=4, hedge=EAGER) as fabric:
        work = held(tmp_path, size=INLINE)
        found = await fabric.map(work, range(CALLS), chunksize=1)
        assert (found[-1][1] >= 1, found[-1][2]) == (True, b"x" * INLINE)
        let_go(tmp_path)
        await until(lambda: fabric._core.bind().in_flight == 0)
    begun = len(list(tmp_path.glob("begun.*")))
    assert 1 <= store.counts["get"] < begun  # two copies may answer while neither is read
    assert store.counts["delete"] == begun
    assert objects(Path(store.root)) == []


async def test_large_inputs_of_copies_are_deleted(front: LambdaFront, tmp_path: Path) -> None:
    store = CountingStore(tmp_path / "store")
    work = held(tmp_path)
    backend = f"{front.backend}&inline={INLINE}"
    async with af.Fabric(backend, storage=store, max_concurrency=4, hedge=EAGER) as fabric:
        inputs = [(x, b"x" * (INLINE if x == LAST else 0)) for x in range(CALLS)]
        found = await fabric.starmap(lambda x, _: work(x), inputs, chunksize=1)
        assert found[-1][1] >= 1
        let_go(tmp_path)
        await until(lambda: fabric._core.bind().in_flight == 0)
    assert store.counts["put"] == store.counts["delete"] == len(list(tmp_path.glob("begun.*"))) >= 2
    assert objects(Path(store.root)) == []


@pytest.mark.parametrize(
    "options", [{"hedge": None}, {"idempotent": False}, {}], ids=["none", "once", "no copies"]
)
async def test_none_where_they_must_not_be(front: LambdaFront, options: Any) -> None:
    def work(x: int) -> int:
        import time

        time.sleep(0.5 if x == LAST else 0)
        return x

    backend: Any = open_backend(front.backend, 4)
    if not options:
        backend.traits = backend.traits._replace(copies=False)
    chosen: Any = {"hedge": EAGER, **options}
    async with af.Fabric(backend, max_concurrency=4, **chosen) as fabric:
        await fabric.submit(work, 0)
        watcher, before = Watcher(fabric), front.counters.executions
        assert await fabric.map(work, range(CALLS), chunksize=1) == list(range(CALLS))
    assert watcher.copies == 0
    assert front.counters.executions - before == CALLS


async def test_a_cancelled_calls_copies_free_their_room(front: LambdaFront, tmp_path: Path) -> None:
    async with af.Fabric(front.backend, max_concurrency=4, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)
        work = held(tmp_path, 100)
        await asyncio.gather(*(fabric.submit(work, x) for x in range(LAST)))
        call = fabric.submit(work, LAST)
        await until(lambda: watcher.copies)
        await front.until(lambda counters: counters.running >= 2)
        call.cancel()
        await until(call.cancelled)
        assert fabric._core.bind().in_flight >= 2  # what runs on Lambda can't be stopped
        let_go(tmp_path)
        await until(lambda: fabric._core.bind().in_flight == 0)
        assert fabric._core.bind()._flights == {}
        assert await fabric.map(abs, range(-9, 0), chunksize=1) == list(range(9, 0, -1))


async def test_a_copy_that_dies_is_no_attempt(front: LambdaFront, tmp_path: Path) -> None:
    """The call goes on where it was before."""
    errors = front.counters.function_errors
    async with af.Fabric(front.backend, max_concurrency=4, hedge=EAGER) as fabric:
        watcher = Watcher(fabric)

        async def when_one_has_died() -> None:
            await front.until(lambda counters: counters.function_errors > errors)
            let_go(tmp_path)

        waiting = asyncio.ensure_future(when_one_has_died())
        work = held(tmp_path, then="die")
        calls = [
            each async for each in af.as_completed(fabric.map(work, range(CALLS), chunksize=1))
        ]
        await waiting
    assert calls[-1].result() == (LAST, 0, b"")
    assert [attempt.number for attempt in calls[-1].attempts] == [1]
    assert 1 <= front.counters.function_errors - errors <= watcher.copies


async def test_a_chunk_that_ends_its_workers_is_taken_apart(tmp_path: Path) -> None:
    """It is late before it dies, so it has copies, which die as it did."""
    from tests.aws.backend.fronts import cloud

    directory = str(tmp_path)

    def work(x: int) -> int:
        import os
        import time

        if x < LAST:
            return x
        begun = [each for each in os.listdir(directory) if each.startswith("begun")]  # noqa: PTH208
        open(os.path.join(directory, f"begun.{len(begun)}"), "x").close()  # noqa: PTH118, PTH123
        while not begun and len(os.listdir(directory)) < 2:  # noqa: PTH208
            time.sleep(0.005)  # until it has a copy
        return os._exit(3)

    options = {"retry": af.Retry(attempts=2, base=0), "hedge": EAGER}
    async with cloud(concurrency=3, options=options) as (front, fabric):
        watcher = Watcher(fabric)
        found = await fabric.map(work, range(CALLS), chunksize=4, return_exceptions=True)
        assert isinstance(found.pop(), af.WorkerCrashed)
        assert found == list(range(LAST))
        assert watcher.copies >= 1
        # At most three copies of the four calls, then of each piece for each of two attempts.
        assert front.counters.function_errors <= 3 + 2 * 3
