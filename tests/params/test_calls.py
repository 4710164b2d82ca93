"""From inside calls: retried, hedged, killed, plain and async. Each push counts once."""

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.params import ParameterError, ParameterServer
from asyncfabric.params._attempts import Counter
from asyncfabric.params._push import Push, push
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy


def _count(_: int, ps: ParameterServer) -> int:
    ps.blocking.push("count", 1)
    return os.getpid()


async def _count_async(_: int, ps: ParameterServer) -> int:
    await ps.push("count", 1)
    return os.getpid()


@pytest.mark.parametrize("backend", ["inline://", "local://?processes=2"])
@pytest.mark.parametrize("step", [_count, _count_async])
async def test_plain_and_async_functions(
    ps: ParameterServer, backend: str, step: Callable[..., Any]
) -> None:
    await ps.put("count", 0)
    async with af.Fabric(backend) as fabric:
        await fabric.map(step, range(200), shared={"ps": ps})
    values, version = await ps.pull("count")
    assert (float(values), version) == (200, 201)


async def test_a_durable_job_goes_on_with_the_same_server(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5e" * 32)
    storage = (tmp_path / "store").as_uri()

    async def counted(name: str) -> float:
        async with (
            ParameterServer(redis_url, name=name) as ps,
            af.Fabric("inline://", storage=storage) as fabric,
        ):
            await fabric.map(_count, range(20), shared={"ps": ps}, job="counts")
            return float((await ps.pull("count")).values)

    async with ParameterServer(redis_url, name="m") as ps:
        await ps.put("count", 0)
    assert await counted("m") == 20
    assert await counted("m") == 20  # gone on with: nothing was run again
    with pytest.raises(af.ConfigurationError, match="the shared value 'ps' is another one"):
        await counted("other")


@pytest.mark.parametrize("step", [_count, _count_async])
async def test_a_worker_keeps_its_connection(
    start_redis: StartRedis, step: Callable[..., Any]
) -> None:
    server = start_redis()
    async with (
        ParameterServer(server.url, name="m") as ps,
        af.Fabric("local://?processes=2") as fabric,
    ):
        await ps.put("count", 0)
        with client_of(server.url) as client:
            before = client.info("stats")["total_connections_received"]
            workers: set[int] = set()
            for _ in range(5):
                workers |= set(await fabric.map(step, range(20), shared={"ps": ps}))
            after = client.info("stats")["total_connections_received"]
        assert 1 <= after - before <= len(workers) <= 2


def _fail_late(_: int, ps: ParameterServer, scratch: str, way: str) -> None:
    """Push, push, and fail at the first attempt, in different ways."""
    mark = Path(scratch, f"{af.current().index}")
    values, version = ps.blocking.pull("w")
    ps.blocking.push("w", np.ones_like(values), version=version)
    first = not mark.exists()
    if first:
        mark.touch()
        if way == "killed between":
            os.kill(os.getpid(), signal.SIGKILL)
    ps.blocking.push("w", [10.0], indices=[0])
    if first:
        if way == "killed after":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError("again, please")


@pytest.mark.parametrize("way", ["raised", "killed between", "killed after"])
async def test_a_repeated_call_pushes_once(ps: ParameterServer, tmp_path: Path, way: str) -> None:
    await ps.put("w", np.zeros(3))
    async with af.Fabric(
        "local://?processes=2", retry=af.Retry(attempts=20, on=(OSError,))
    ) as fabric:
        shared = {"ps": ps, "scratch": str(tmp_path), "way": way}
        await fabric.map(_fail_late, range(2), shared=shared)
    assert (await ps.pull("w")).values.tolist() == [22, 2, 2]
    assert len(list(tmp_path.iterdir())) == 2


async def test_two_attempts_at_once(ps: ParameterServer) -> None:
    """What a hedge does: the same call, at the same time, in two places."""
    await ps.put("w", np.zeros(2))
    place, link = await ps._home.link()

    async def attempt() -> None:
        counter = Counter("job/7 w")
        for _ in range(50):
            turn = counter.turn()
            await link.follow(push(place, Push("w", [1.0, 1.0]), turn.begin()))
            turn.over = True

    await asyncio.gather(*(attempt() for _ in range(4)))
    values, version = await ps.pull("w")
    assert (values.tolist(), version) == ([50, 50], 51)


async def _refused_then_right(_: int, ps: ParameterServer, scratch: str) -> None:
    """A push that is refused takes no number: the next attempt's numbers still fit."""
    first = not Path(scratch, "x").exists()
    if first:
        Path(scratch, "x").touch()
        with pytest.raises(af.params.StaleUpdate):
            await ps.push("w", [1.0], version=0)
    await ps.push("w", [1.0])
    if first:
        raise OSError("again, please")
    await ps.push("w", [1.0])


async def test_refused_pushes_take_no_number(redis_url: str, tmp_path: Path) -> None:
    async with (
        ParameterServer(redis_url, name="refused", max_staleness=0) as ps,
        af.Fabric("inline://", retry=af.Retry(attempts=3, on=(OSError,))) as fabric,
    ):
        await ps.put("w", [0.0])
        await ps.push("w", [0.0])
        shared = {"ps": ps, "scratch": str(tmp_path)}
        await fabric.map(_refused_then_right, [0], shared=shared)
        assert (await ps.pull("w")).values.tolist() == [2]


async def _put_and_push(_: int, ps: ParameterServer, scratch: str) -> None:
    await ps.put("w", [100.0])
    await ps.push("w", [1.0])
    mark = Path(scratch, "x")
    if not mark.exists():
        mark.touch()
        raise OSError("again, please")


async def test_a_repeated_put_does_not_undo_pushes(ps: ParameterServer, tmp_path: Path) -> None:
    async with af.Fabric("inline://", retry=af.Retry(attempts=3, on=(OSError,))) as fabric:
        shared = {"ps": ps, "scratch": str(tmp_path)}
        await fabric.map(_put_and_push, [0], shared=shared)
    assert (await ps.pull("w")).values.tolist() == [101]


async def _push_put_and_delete(_: int, ps: ParameterServer) -> tuple[list[float], list[str]]:
    await ps.push("w", [1.0])
    await ps.put("w", [100.0])
    await ps.push("v", [1.0])
    await ps.delete("v")
    return (await ps.pull("w")).values.tolist(), [*await ps.parameters()]


async def test_a_call_that_puts_and_deletes_what_it_pushed_to(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    await ps.put("v", [0.0])
    async with af.Fabric("inline://") as fabric:
        found = await fabric.map(_push_put_and_delete, [0], shared={"ps": ps})
    assert found == [([100.0], ["w"])]


def _from_threads(_: int, ps: ParameterServer, tokens: bool) -> None:
    def push(at: int) -> None:
        ps.blocking.push("w", [1.0], indices=[at], token=f"{at}" if tokens else None)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(push, range(2)))


async def _at_once(_: int, ps: ParameterServer, tokens: bool) -> None:
    await asyncio.gather(
        *(ps.push("w", [1.0], indices=[at], token=f"{at}" if tokens else None) for at in range(2))
    )


@pytest.mark.parametrize(
    ("step", "words"), [(_from_threads, r"thread.*token="), (_at_once, r"at once.*token=")]
)
async def test_pushes_without_an_order(
    ps: ParameterServer, step: Callable[..., Any], words: str
) -> None:
    """Another attempt's couldn't be told apart: they need names."""
    await ps.put("w", np.zeros(2))
    async with af.Fabric("local://?processes=1", retry=None) as fabric:
        for _ in range(2):
            await fabric.map(step, [0], shared={"ps": ps, "tokens": True})
        assert (await ps.pull("w")).values.tolist() == [1, 1]
        with pytest.raises(ParameterError, match=words):
            await fabric.map(step, [0], shared={"ps": ps, "tokens": False})


async def test_a_token_is_of_an_operation_on_a_parameter(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    await ps.put("v", [0.0])
    for name in ("w", "v"):
        await ps.push(name, [1.0], token="epoch 1")
    await ps.put("v", [50.0], token="epoch 1")
    assert (await ps.pull("w")).values.tolist() == [1]
    assert (await ps.pull("v")).values.tolist() == [50]


async def test_a_token_of_ones_own(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    for _ in range(3):
        await ps.push("w", [1.0], token="epoch 1")
        await ps.push("w", [1.0], token="epoch 2")
    assert (await ps.pull("w")).values.tolist() == [2]


async def test_what_is_remembered_is_bounded(
    ps: ParameterServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest calls are remembered; the oldest forgotten."""
    monkeypatch.setattr("asyncfabric.params._push.REMEMBERED", 50)
    await ps.put("w", [0.0])
    for number in range(500):
        await ps.push("w", [1.0], token=f"{number}")
    for number in range(450, 500):
        await ps.push("w", [1.0], token=f"{number}")
    assert (await ps.pull("w")).values.tolist() == [500]
    with client_of(redis_url) as client:
        kept = sum(client.hlen(key) for key in client.keys(f"*{ps.name}*seen*"))
    assert 50 <= kept <= 100


async def test_blocking_is_for_plain_functions(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    with pytest.raises(RuntimeError, match=r"await ps.pull"):
        ps.blocking.pull("w")

    async def careless(_: int, ps: ParameterServer) -> None:
        ps.blocking.push("w", [1.0])

    async with af.Fabric("inline://") as fabric:
        with pytest.raises(RuntimeError, match=r"await ps.pull"):
            await fabric.map(careless, [0], shared={"ps": ps})


def _everything(_: int, ps: ParameterServer) -> tuple[list[float], int, list[str], int]:
    server = ps.blocking
    server.put("mine", np.arange(3.0))
    server.push("mine", [1.0], indices=[2], version=1)
    kept = server.snapshot()
    server.delete("mine")
    server.restore(kept)
    values, version = server.pull("mine")
    assert version == server.version("mine")
    return values.tolist(), server.staleness("mine").pushes, [*server.parameters()], version


async def test_the_blocking_twin_can_do_everything(ps: ParameterServer) -> None:
    async with af.Fabric("local://?processes=1") as fabric:
        (found,) = await fabric.map(_everything, [0], shared={"ps": ps})
    assert found == ([0, 1, 3], 0, ["mine"], 3)  # staleness goes with what is deleted


async def test_a_cancelled_pull_leaves_no_reply_behind(start_redis: StartRedis) -> None:
    """Its reply is nobody else's, and the connection is as good as before."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        for number in range(10):
            await ps.put(f"w{number}", np.full(3, float(number)))
        for number in range(10):
            proxy.hold()
            pulling = asyncio.create_task(ps.pull(f"w{number}"))
            await proxy.handed()
            pulling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await pulling
            others = [asyncio.create_task(ps.pull(f"w{other}")) for other in range(10)]
            proxy.release()
            for other, pull in enumerate(await asyncio.gather(*others)):
                assert pull.values.tolist() == [other] * 3


async def test_a_cancelled_push_was_applied_once_or_not_at_all(start_redis: StartRedis) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m") as ps:
        await ps.put("w", [0.0])
        await ps.pull("w")
        proxy.hold()
        pushing = asyncio.create_task(ps.push("w", [1.0]))
        await proxy.handed()
        pushing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pushing
        proxy.release()
        assert (await ps.pull("w")).values.tolist() == [1]  # it was under way


async def test_closing_with_a_command_under_way(start_redis: StartRedis) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy:
        ps = ParameterServer(proxy.url, name="m")
        await ps.put("w", [0.0])
        proxy.hold()
        pushing = asyncio.create_task(ps.push("w", [1.0]))
        await proxy.handed()
        await ps.aclose()
        with pytest.raises(af.params.ServerUnreachable, match="closed"):
            await pushing


def _pulled(name: str, ps: ParameterServer) -> float:
    return float(ps.blocking.pull(name).values[0])


async def test_a_plain_call_that_times_out_in_a_command(start_redis: StartRedis) -> None:
    server = start_redis()
    async with (
        Proxy(server.port) as proxy,
        ParameterServer(proxy.url, name="m") as ps,
        af.Fabric("local://?processes=1", retry=None) as fabric,
    ):
        await ps.put("w", [1.0])
        await ps.put("v", [2.0])
        assert await fabric.map(_pulled, ["w"], shared={"ps": ps}) == [1]
        proxy.hold()
        with pytest.raises(af.AttemptTimeout):
            await fabric.with_options(timeout=0.5).map(_pulled, ["w"], shared={"ps": ps})
        proxy.release()
        assert await fabric.map(_pulled, ["v"], shared={"ps": ps}) == [2]
