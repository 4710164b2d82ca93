"""Durable jobs by workers that may do what the deployed role allows, and nothing else.

Driver and workers have credentials of their own; the S3 behind them decides by the policies that
`asyncfabric deploy` gives.
"""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

import asyncfabric as af
from asyncfabric.aws.deploy._policies import driver_policy, worker_policy
from asyncfabric.testing import LambdaFront
from tests.api.until import untyped
from tests.jobs.test_policies import PLACE, guard
from tests.storage.s3_service import BUCKET, OWNER, Service, s3_service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(200)]


class World(NamedTuple):
    front: LambdaFront
    service: Service
    storage: str


@pytest_asyncio.fixture(loop_scope="module")
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setenv("ASYNCFABRIC_KEY", "5a" * 32)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "driver")
    own = {"AWS_ACCESS_KEY_ID": "worker", "AWS_SECRET_ACCESS_KEY": "test"}
    async with s3_service() as service, LambdaFront(environment=own) as front:
        guard(service, {"driver": driver_policy(PLACE), "worker": worker_policy(PLACE)})
        endpoint = quote(service.url, safe="")
        where = f"s3://{BUCKET}/{PLACE.prefix}?region=us-east-1&owner={OWNER}"
        yield World(front, service, f"{where}&endpoint_url={endpoint}")


def callers(service: Service) -> set[str]:
    return {
        request.headers["authorization"].partition("Credential=")[2].partition("/")[0]
        for request in service.requests
    }


async def test_the_role_is_enough(world: World) -> None:
    """For maps and launched jobs, small and large results, shared values, refs, failures."""

    def work(x: int, *, table: Any) -> bytes:
        if x == 3:
            raise ValueError("three")
        return bytes([table[x]]) * (300_000 if x == 2 else 3)

    wanted = [b"\5" * 3, b"\6" * 3, b"\7" * 300_000]
    given: dict[str, Any] = {"shared": {"table": b"\5\6\7\0" + bytes(100_000)}}
    async with af.Fabric(world.front.backend, storage=world.storage, hedge=None) as fabric:
        maps = untyped(fabric.map)
        mapped = await maps(work, range(4), job="mapped", return_exceptions=True, **given)
        assert mapped[:3] == wanted
        assert await maps(work, range(3), job="refs", results="ref", **given)
        await af.jobs.launch(fabric, work, range(4), job="left", chunksize=2, **given)
        for name in ("mapped", "left"):
            found = await af.jobs.attach(fabric, name, return_exceptions=True)
            assert found[:3] == wanted
            assert "three" in str(found[3])
        assert callers(world.service) == {"driver", "worker"}
        assert await af.jobs.list(fabric) == ["left", "mapped", "refs"]
        for name in ("left", "mapped", "refs"):
            await af.jobs.discard(fabric, name)
        await af.jobs.gc(fabric, grace=0)
    assert not [name for name in world.service.objects if "/jobs/" in name]


async def test_a_worker_that_tries_more(world: World) -> None:
    """Its own code can't undo, forge or find out what isn't its own."""

    async def work(keys: list[str]) -> list[str]:
        store = af.current().store
        said: list[str] = []
        for attempt in (
            *(store.put(key, b"forged") for key in keys),
            *(store.delete(key) for key in keys),
            store.get(keys[0]),
            anext(aiter(store.list("jobs/"))),
        ):
            try:
                await attempt
            except af.StorageError as error:
                said.append("denied" if "access denied" in str(error) else str(error))
            else:
                said.append("done")
        return said

    async with af.Fabric(world.front.backend, storage=world.storage, hedge=None) as fabric:
        await fabric.map(abs, [1, 2], job="other")
        before = dict(world.service.objects)
        keys = [info.key async for info in fabric.store.list("jobs/")]
        keys.sort(key=lambda key: "/names/" not in key)
        assert len(keys) == 7  # name, code, lease, ended, finished, and two results
        (said,) = await fabric.map(work, [keys])
        assert said == ["denied"] * (2 * len(keys) + 2)
        assert {key: world.service.objects[key] for key in before} == before
