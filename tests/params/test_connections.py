"""Connections: silent, shared, closed, crowded. What is wrong with one caller is not another's."""

import asyncio
import gc
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import asyncfabric as af
from asyncfabric.params import ParameterError, ParameterServer, ServerUnreachable
from tests.redis_server import StartRedis, client_of

from .proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Coroutine

_WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("push", ("w", [1.0]), {"version": 1.5}),
    ("push", ("w", [1.0]), {"version": "1"}),
    ("pull", ("w",), {"shards": [0.0]}),
    ("pull", ("w",), {"shards": "0"}),
    ("pull", (None,), {}),
    ("push", (7, [1.0]), {}),
    ("version", (b"w",), {}),
    ("staleness", (None,), {}),
    ("push", ("w", [1.0]), {"token": 5}),
]


@pytest.mark.parametrize(("method", "given", "named"), _WRONG, ids=range(len(_WRONG)))
async def test_what_can_not_be_sent_is_its_callers_error(
    ps: ParameterServer, method: str, given: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """At once, and others on the same connection don't notice."""
    await ps.put("w", [0.0])
    wrong: Coroutine[Any, Any, Any] = getattr(ps, method)(*given, **named)
    found = await asyncio.gather(
        wrong, ps.push("w", [1.0]), ps.version("w"), return_exceptions=True
    )
    assert isinstance(found[0], TypeError)
    assert found[1] == 2
    assert isinstance(found[2], int)
    assert (await ps.staleness("w")).pushes == 0


async def test_numpys_integers_are_integers(ps: ParameterServer) -> None:
    await ps.put("w", [0.0])
    shards: Any = np.arange(1)
    _, version = await ps.pull("w", shards=shards)
    computed_from: Any = np.int64(version)
    await ps.push("w", [1.0], version=computed_from)
    assert (await ps.staleness("w")).counts == {0: 1}


async def test_closing_before_anything_was_sent(start_redis: StartRedis) -> None:
    server = start_redis()
    ps = ParameterServer(server.url, name="m")
    await ps.put("w", [1.0])
    asking = asyncio.create_task(ps.version("w"))
    closing = asyncio.create_task(ps.aclose())
    await closing
    with pytest.raises(ServerUnreachable, match="closed"):
        await asking


async def test_closing_one_server_leaves_another_its_connection(start_redis: StartRedis) -> None:
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="a") as ps:
        other = ParameterServer(proxy.url, name="b")
        await ps.put("w", [0.0])
        await other.put("w", [0.0])
        proxy.hold()
        pushing = asyncio.create_task(ps.push("w", [1.0]))
        await proxy.handed()
        await other.aclose()
        proxy.release()
        assert await pushing == 2


def _pulled(_: int, ps: ParameterServer) -> list[float]:
    values: list[float] = ps.blocking.pull("w").values.tolist()
    return values


async def test_patience_without_end(redis_url: str) -> None:
    """A socket's own limit is finite."""
    async with (
        ParameterServer(redis_url, name="patient", patience=math.inf) as ps,
        af.Fabric("inline://", timeout=30, retry=None) as fabric,
    ):
        await ps.put("w", [1.0])
        assert await fabric.map(_pulled, [0], shared={"ps": ps}) == [[1.0]]


async def test_a_connection_that_is_silently_dead(start_redis: StartRedis) -> None:
    """It is replaced long before patience is over, and what was unanswered sent again."""
    server = start_redis()
    async with Proxy(server.port) as proxy, ParameterServer(proxy.url, name="m", patience=3) as ps:
        await ps.put("w", [1.0])
        proxy.drop()
        assert (await ps.pull("w")).values.tolist() == [1]
        async with af.Fabric("local://?processes=1") as fabric:
            assert await fabric.map(_pulled, [0], shared={"ps": ps}) == [[1]]
            proxy.drop()
            assert await fabric.map(_pulled, [0], shared={"ps": ps}) == [[1]]


async def test_more_than_goes_through_within_patience(start_redis: StartRedis) -> None:
    """A server that answers is not unreachable, however much there is to do."""
    server = start_redis()
    async with ParameterServer(server.url, name="m", patience=1.2) as ps:
        await ps.put("w", np.zeros(65536))
        await asyncio.gather(*(ps.push("w", np.ones(65536)) for _ in range(600)))
        assert ((await ps.pull("w")).values == 600).all()


async def test_the_cause_is_kept(start_redis: StartRedis) -> None:
    server = start_redis()
    server.kill()
    ps = ParameterServer(server.url, name="m", patience=0.2)
    with pytest.raises(ServerUnreachable) as caught:
        await ps.version("w")
    assert caught.value.__cause__ is not None
    await ps.aclose()


def _with_loops(_: int, ps: ParameterServer) -> int:
    async def push() -> None:
        await ps.version("w")

    for _ in range(10):
        asyncio.run(push())
    gc.collect()
    return len([*Path("/proc/self/fd").iterdir()])


async def test_loops_that_end_take_their_connections_along(start_redis: StartRedis) -> None:
    server = start_redis()
    async with (
        ParameterServer(server.url, name="m") as ps,
        af.Fabric("local://?processes=1") as fabric,
    ):
        await ps.put("w", [1.0])
        first = await fabric.map(_with_loops, [0], shared={"ps": ps})
        assert await fabric.map(_with_loops, [0], shared={"ps": ps}) == first
        with client_of(server.url) as client:
            assert client.info("clients")["connected_clients"] == 2


@pytest.mark.parametrize(
    ("ending", "error", "words"),
    [
        ("?foo=1", af.ConfigurationError, "option that redis-py doesn't know.*foo"),
        ("?db=99", ParameterError, "no database of the number"),
    ],
)
async def test_urls_that_no_repetition_mends(
    redis_url: str, ending: str, error: type[Exception], words: str
) -> None:
    ps = ParameterServer(redis_url + ending, name="m")
    with pytest.raises(error, match=words):
        await ps.put("w", [1.0])
    await ps.aclose()


async def test_a_server_that_does_not_answer_is_in_the_log(
    start_redis: StartRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, while it is being tried."""
    server = start_redis()
    server.kill()
    ps = ParameterServer(server.url.replace("//", "//:secret@"), name="m", patience=1.0)
    with pytest.raises(ServerUnreachable):
        await ps.put("w", [1.0])
    (told,) = caplog.messages
    assert "no answer from Redis at" in told
    assert "secret" not in told
    await ps.aclose()


async def test_restoring_what_is_no_snapshot(ps: ParameterServer) -> None:
    wrong: Any = b"bytes"
    with pytest.raises(TypeError, match=r"Snapshot\.from_bytes"):
        await ps.restore(wrong)
