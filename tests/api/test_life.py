"""The life of a Fabric: it starts when used, belongs to its loop, and leaves nothing behind."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

import asyncfabric as af
from tests.api.until import gone, take, until, untyped
from tests.api.work import mark_and_wait, mark_and_wait_async, note, noted, pid, square

LOCAL = "local://?processes=2"


def test_the_constructor_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    threads = threading.active_count()
    descriptors = len(list(Path("/dev/fd").iterdir()))
    fabrics = [
        af.Fabric(LOCAL),
        af.Fabric("inline://"),
        af.Fabric(storage=tmp_path.as_uri() + "/x"),
    ]
    views = [fabric.with_options(timeout=3) for fabric in fabrics]
    maps = [fabric.map(square, [1]) for fabric in views]
    assert threading.active_count() == threads
    assert len(list(Path("/dev/fd").iterdir())) == descriptors
    assert list(tmp_path.iterdir()) == []
    assert "LocalBackend" in repr(fabrics[0])
    for each in maps:
        asyncio.run(each.aclose())


def test_outside_a_loop() -> None:
    fabric = af.Fabric(LOCAL)
    with pytest.raises(RuntimeError, match=r"asyncfabric\.run\(main\(\)\)"):
        untyped(fabric).submit(square, 1)


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
def test_another_loop(backend: str) -> None:
    fabric = af.Fabric(backend)

    async def use() -> int:
        return await fabric.submit(square, 3)

    first = asyncio.new_event_loop()
    assert first.run_until_complete(use()) == 9
    with pytest.raises(RuntimeError, match="make one Fabric for each loop"):
        asyncio.run(use())
    with pytest.raises(RuntimeError, match="make one Fabric for each loop"):
        asyncio.run(fabric.aclose())
    assert first.run_until_complete(use()) == 9
    first.run_until_complete(fabric.aclose())
    first.close()


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
def test_closing_after_its_loop(backend: str) -> None:
    fabric = af.Fabric(backend)

    async def use() -> int:
        return await fabric.submit(square, 3)

    assert asyncio.run(use()) == 9
    asyncio.run(fabric.aclose())
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        asyncio.run(use())


@pytest.mark.every_loop
async def test_two_fabrics_in_one_loop() -> None:
    async with af.Fabric(LOCAL) as one, af.Fabric(LOCAL) as two:
        first, second = await asyncio.gather(_pids(one), _pids(two))
    assert not set(first) & set(second)
    await until(lambda: all(map(gone, [*first, *second])))


async def _pids(fabric: af.Fabric) -> list[int]:
    return await fabric.map(pid, range(20), chunksize=1)


@pytest.mark.every_loop
async def test_everything_on_every_loop(tmp_path: Path) -> None:
    async with af.Fabric(LOCAL) as fabric:
        assert await fabric.map(square, range(1000)) == [x * x for x in range(1000)]
        assert [x async for x in fabric.map(square, range(100))] == [x * x for x in range(100)]
        call = fabric.submit(mark_and_wait, str(tmp_path), 1)
        await until(lambda: noted(tmp_path))
        call.cancel()
        assert len(await fabric.submit(bytes, 5_000_000)) == 5_000_000
        assert await fabric.submit(len, bytes(5_000_000)) == 5_000_000
        ref = await fabric.put([1, 2])
        assert await untyped(fabric).submit(sum, ref) == 3


@pytest.mark.parametrize(
    "factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["stock", "uvloop"]
)
def test_debug_mode(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def main() -> None:
        async with af.Fabric(LOCAL) as fabric:
            assert await fabric.map(square, range(10)) == [x * x for x in range(10)]
            async for _ in fabric.map(square, range(100)):
                break
            with pytest.raises(ZeroDivisionError):
                await fabric.submit(divmod, 1, 0)

    with asyncio.Runner(debug=True, loop_factory=factory) as runner:
        runner.run(main())


def test_run() -> None:
    async def main() -> tuple[int, str]:
        async with af.Fabric("inline://") as fabric:
            loop = type(asyncio.get_running_loop()).__module__
            return await fabric.submit(square, 3), loop

    result, module = af.run(main())
    assert result == 9
    assert module.startswith("uvloop")

    async def inside() -> None:
        af.run(main())

    with pytest.raises(RuntimeError, match="running event loop"):
        asyncio.run(inside())


async def test_closing_cancels_what_is_under_way(tmp_path: Path) -> None:
    fabric = af.Fabric(LOCAL)
    call = fabric.submit(mark_and_wait, str(tmp_path), 1)
    task = asyncio.ensure_future(_wait(fabric.map(square, _never())))
    await until(lambda: noted(tmp_path))
    await fabric.aclose()
    assert call.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        await task
    await fabric.aclose()


async def _never() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


async def _wait(mapped: "af.Map[int]") -> list[int]:
    return await mapped


@pytest.mark.parametrize("way", ["ordered", "as completed", "calls"])
@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
async def test_closing_does_not_look_like_the_end_of_a_stream(backend: str, way: str) -> None:
    fabric = af.Fabric(backend)
    taken: list[Any] = []
    stream = fabric.map(square, _never(), ordered=way == "ordered")
    calls = af.as_completed(stream) if way == "calls" else stream
    task = asyncio.ensure_future(take(calls, taken))
    await until(lambda: taken)
    await fabric.aclose()
    with pytest.raises(RuntimeError, match="before it was finished"):
        await task
    assert len(taken) == 1


async def test_results_at_hand_are_delivered_after_closing() -> None:
    async with af.Fabric("inline://") as fabric:
        whole = fabric.map(square, range(5)).start()
        half = fabric.map(square, _never()).start()
        await until(lambda: whole.stats.finished == 5 and half.stats.finished == 1)
    assert [x async for x in whole] == [0, 1, 4, 9, 16]
    assert await anext(half) == 1
    with pytest.raises(RuntimeError, match="before it was finished"):
        await anext(half)


async def test_a_stream_that_is_closed_itself_ends() -> None:
    async with af.Fabric("inline://") as fabric:
        taken: list[Any] = []
        stream = fabric.map(square, _never())
        task = asyncio.ensure_future(take(stream, taken))
        await until(lambda: taken)
        await stream.aclose()
        await task


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
async def test_draining_waits_for_what_is_under_way(backend: str, tmp_path: Path) -> None:
    fabric = af.Fabric(backend)
    call = fabric.submit(mark_and_wait_async, str(tmp_path), 1)
    mapped = asyncio.ensure_future(_wait(fabric.map(square, range(500), shared={})))
    prepared = asyncio.ensure_future(_wait(fabric.map(_add, range(5), shared={"y": 1})))
    await until(lambda: noted(tmp_path))
    closing = asyncio.ensure_future(fabric.aclose(drain=60))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="closed"):
        untyped(fabric).submit(square, 1)
    note(str(tmp_path), "go")
    await closing
    assert call.result() == 1
    assert await mapped == [x * x for x in range(500)]
    assert await prepared == [1, 2, 3, 4, 5]


def _add(x: int, *, y: int) -> int:
    return x + y


async def test_draining_ends_with_a_result_that_is_read_aside() -> None:
    """Large results are unpickled in a thread, after their invocation has landed."""
    fabric = af.Fabric(LOCAL)
    call = fabric.submit(_large_list, 300_000)
    await fabric.warm(1)
    async with asyncio.timeout(50):  # far below what it may wait
        await fabric.aclose(drain=3600)
    assert len(call.result()) == 300_000


def _large_list(size: int) -> list[float]:
    return [float(x) for x in range(size)]


async def test_draining_gives_up(tmp_path: Path) -> None:
    fabric = af.Fabric(LOCAL)
    call = fabric.submit(mark_and_wait, str(tmp_path), 1)
    await until(lambda: noted(tmp_path))
    await fabric.aclose(drain=0.01)
    assert call.cancelled()


async def test_closing_while_values_are_stored() -> None:
    fabric = af.Fabric("inline://")
    task = asyncio.ensure_future(_wait(fabric.map(_add, range(5), shared={"y": 1})))
    await asyncio.sleep(0)
    await fabric.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await task


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
async def test_a_dropped_fabric(backend: str) -> None:
    fabric = af.Fabric(backend)
    pids = await _pids(fabric)
    core = weakref.ref(fabric._core)
    del fabric
    assert core() is None
    if backend == LOCAL:
        await until(lambda: all(map(gone, pids)))


async def test_a_fabric_dropped_in_mid_map() -> None:
    running = [process.pid for process in psutil.Process().children()]
    assert await af.Fabric(LOCAL).map(square, range(100)) == [x * x for x in range(100)]
    stream = af.Fabric(LOCAL).map(square, range(100))
    assert [x async for x in stream] == [x * x for x in range(100)]
    assert await af.Fabric(LOCAL).submit(square, 3) == 9
    failed: af.Map[int] = untyped(af.Fabric(LOCAL)).map(divmod, [1])
    with pytest.raises(TypeError):
        await failed
    gc.collect()
    with pytest.raises(RuntimeError, match="gone; keep it"):
        untyped(failed).retry()
    await until(lambda: {process.pid for process in psutil.Process().children()} <= {*running})


async def test_retry_on_a_closed_fabric() -> None:
    async with af.Fabric("inline://") as fabric:
        failed = untyped(fabric).map(divmod, [1])
        with pytest.raises(TypeError):
            await failed
    with pytest.raises(RuntimeError, match="closed; make a new one"):
        untyped(failed).retry()


class Watched:
    """Tells which thread pickled it."""

    threads: "list[int]" = []  # noqa: RUF012

    def __init__(self, size: int) -> None:
        self.size = size

    def __reduce__(self) -> Any:
        self.threads.append(threading.get_ident())
        return bytes, (b"x" * self.size,)


@pytest.mark.parametrize("backend", [LOCAL, "inline://"])
async def test_pickling_much_leaves_the_loop(backend: str) -> None:
    here = threading.get_ident()
    async with af.Fabric(backend) as fabric:
        Watched.threads.clear()
        assert await untyped(fabric).submit(len, Watched(10)) == 10
        assert set(Watched.threads) == {here}
        for use in ("submit", "shared", "put", "closure"):
            Watched.threads.clear()
            big = Watched(3_000_000)
            if use == "submit":
                assert await untyped(fabric).submit(len, big) == 3_000_000
            elif use == "shared":
                assert await fabric.map(_length, [0], shared={"value": big}) == [3_000_000]
            elif use == "put":
                await fabric.put(big)
            else:
                assert await untyped(fabric).submit(lambda big=big: len(untyped(big))) == 3_000_000
            assert Watched.threads[-1] != here, use


def _length(_: int, *, value: bytes) -> int:
    return len(value)


def test_a_closed_fabric_keeps_no_loop_alive() -> None:
    """Nor, through it, itself: a loop's exception handler may well know the Fabric."""
    known: list[weakref.ref[af.Fabric]] = []

    async def main() -> None:
        fabric = af.Fabric("inline://")
        known.append(weakref.ref(fabric))

        def handle(*_: object) -> None:
            print(fabric)

        asyncio.get_running_loop().set_exception_handler(handle)
        async with fabric:
            assert await fabric.submit(abs, -1) == 1

    asyncio.run(main())
    gc.collect()
    assert known[0]() is None
