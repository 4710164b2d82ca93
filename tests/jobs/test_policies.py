"""The worker's role is enough for the protocol, and for nothing beside it.

On an S3 that decides about every request by the policies that `asyncfabric deploy` gives.
"""

import json
import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from asyncfabric import IntegrityError, StorageError
from asyncfabric.aws.deploy._policies import Document, Place, driver_policy, worker_policy
from asyncfabric.jobs._follow import follow
from asyncfabric.jobs._garbage import collect
from asyncfabric.jobs._lease import TakenOver
from asyncfabric.jobs._listing import discard, job_names, summarize
from asyncfabric_storage import ObjectStore
from asyncfabric_storage._commits import INLINE_BYTES
from asyncfabric_storage._errors import AccessDenied
from asyncfabric_storage._s3 import S3Store
from asyncfabric_storage._sealed import FIXED_BYTES, parse
from tests.aws.deploy.evaluation import allows
from tests.jobs.programs import KEY, attempt, keys_of, opened, run_all, run_call
from tests.storage.s3_service import BUCKET, OWNER, Fault, Request, Service, s3_service

PLACE = Place("numbers", "aws", "us-east-1", OWNER, BUCKET, "numbers")
LARGE = b"x" * (INLINE_BYTES + 1)


class Sides(NamedTuple):
    service: Service
    driver: S3Store
    worker: S3Store


def guard(service: Service, policies: dict[str, Document]) -> None:
    """Have the service refuse what a caller's policy does not allow, and say it as S3 does."""

    def decide(request: Request) -> Fault:
        caller = re.search("Credential=([^/]*)/", request.headers["authorization"])
        assert caller is not None
        policy = policies[caller[1]]
        context = {"aws:ResourceAccount": OWNER}
        if "if-none-match" in request.headers:
            context["s3:if-none-match"] = request.headers["if-none-match"]
        if not request.name and "prefix" in request.query:
            context["s3:prefix"] = request.query["prefix"]
        resource = f"arn:aws:s3:::{BUCKET}"
        at = f"{resource}/{request.name}" if request.name else resource
        if not allows(policy, _action(request), at, context):
            return (403, "AccessDenied")
        absent = request.name not in service.objects
        if request.method in {"GET", "HEAD"} and request.name and absent:
            account = {"aws:ResourceAccount": OWNER}
            return None if allows(policy, "s3:ListBucket", resource, account) else _DENIED
        return None

    service.fault = decide


_DENIED = (403, "AccessDenied")


def _action(request: Request) -> str:
    if not request.name:
        return "s3:ListBucket"
    if request.method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in request.query else "s3:DeleteObject"
    return "s3:GetObject" if request.method in {"GET", "HEAD"} else "s3:PutObject"


@pytest.fixture
async def sides() -> AsyncIterator[Sides]:
    async with s3_service() as service:
        guard(service, {"driver": driver_policy(PLACE), "worker": worker_policy(PLACE)})
        driver, worker = (_store(service, name) for name in ("driver", "worker"))
        yield Sides(service, driver, worker)
        await driver.aclose()
        await worker.aclose()


def _store(service: Service, caller: str) -> S3Store:
    async def credentials() -> tuple[str, str, str | None, float | None]:
        return caller, "secret", None, None

    return S3Store(
        BUCKET,
        PLACE.prefix,
        region=PLACE.region,
        endpoint_url=service.url,
        owner=OWNER,
        credentials=credentials,
    )


async def test_the_roles_are_enough(sides: Sides) -> None:
    driver, worker = sides.driver, sides.worker
    first = await opened(driver)
    assert (await run_call(worker, attempt(first, 1, 1), LARGE)).verdict == "won"
    assert (await run_call(worker, attempt(first, 1, 1, number=2), b"")).verdict == "lost"
    second = await opened(driver)
    with pytest.raises(TakenOver):
        await first.check()
    assert bytes(await worker.get(f"{second.root}/code/{second.manifest.code.function}"))

    await run_all(_Both(driver, worker), second, range(3), lambda value: str(value).encode())
    seen = await follow(driver, KEY, "prices")
    assert await seen.look() == [0, 1, 2]
    assert await seen.payload(await seen.result(1)) == LARGE
    assert (await summarize(driver, KEY, "prices")).finished
    assert (await collect(driver)).leases == 1
    assert await job_names(driver) == ["prices"]
    await discard(driver, "prices")
    assert await keys_of(driver) == []


async def test_answers_that_were_lost(sides: Sides) -> None:
    """The look at what is there works without the right to list, too."""
    job = await opened(sides.driver)
    decide = sides.service.fault
    lost: list[str] = []

    def lose(request: Request) -> Fault:
        if request.method == "PUT" and "/done/" in request.name and request.name not in lost:
            lost.append(request.name)
            return "lose answer"
        return decide(request)

    sides.service.fault = lose
    assert (await run_call(sides.worker, attempt(job, 0, 0))).verdict == "won"
    assert len(lost) == 1


@pytest.mark.parametrize("name", ["done/000000000000", "names", "lease", "inputs", "code"])
async def test_what_a_worker_cannot_spoil(sides: Sides, name: str) -> None:
    job = await opened(sides.driver)
    await run_all(_Both(sides.driver, sides.worker), job, range(2), lambda _: b"result")
    before = dict(sides.service.objects)
    (key,) = [each for each in await keys_of(sides.driver) if f"/{name}" in each][:1]
    with pytest.raises(AccessDenied):
        await sides.worker.put(key, b"spoilt")
    with pytest.raises(AccessDenied):
        await sides.worker.delete(key)
    with pytest.raises(StorageError, match="access denied"):
        await keys_of(sides.worker, "jobs/")
    if "done" not in name:
        with pytest.raises(AccessDenied):
            await sides.worker.put_if_absent(f"{key}0", b"forged")
    assert sides.service.objects == before
    assert await sides.worker.put_if_absent("mine", b"x")


async def test_where_data_of_another_input_lies_no_worker_knows(sides: Sides) -> None:
    """It may read the record, which names the execution, and write; but list nothing.

    So all that it can address is what its own tokens lead to.
    """
    job = await opened(sides.driver)
    mine, others = attempt(job, 0, 0), attempt(job, 1, 1)
    await run_call(sides.worker, others, LARGE)
    record = parse(others.root, await sides.worker.get(f"{job.root}/done/{1:012d}"))
    told: dict[str, Any] = json.loads(record.body[FIXED_BYTES:])
    again = attempt(job, 1, 1, number=2)  # at the same input, by another worker
    tried = (others, mine, again)
    places = [each.data_place(told["execution"]) for each in tried]
    assert await keys_of(sides.driver, f"{job.root}/data/") == [f"{job.root}/{places[0]}"]
    secrets = {place.rpartition("-")[2] for place in places}
    assert len(secrets) == len(tried)
    assert not any(secret.encode() in record.body for secret in secrets)


async def test_data_of_a_result_is_overwritten_in_vain(sides: Sides) -> None:
    """Who may list can find it: what is there then the digest in the record tells."""
    job = await opened(sides.driver)
    await run_call(sides.worker, attempt(job, 0, 0), LARGE)
    (key,) = await keys_of(sides.driver, f"{job.root}/data/")
    await sides.worker.put(key, LARGE[::-1] + b"y")
    seen = await follow(sides.driver, KEY, "prices")
    with pytest.raises(IntegrityError):
        await seen.payload(await seen.result(0))


class _Both(ObjectStore):
    """Who writes results is the worker, who does anything else the driver."""

    def __init__(self, driver: S3Store, worker: S3Store) -> None:
        self._driver = driver
        self._worker = worker

    def _side(self, key: str) -> S3Store:
        return self._worker if "/done/" in key or "/data/" in key else self._driver

    @property
    def url(self) -> str:
        return self._driver.url

    @property
    def shared(self) -> bool:
        return True

    @property
    def ephemeral(self) -> bool:
        return False

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        return await self._side(key).get(key, start=start, end=end)

    async def put(self, key: str, data: Any) -> None:
        await self._side(key).put(key, data)

    async def put_if_absent(self, key: str, data: Any) -> bool:
        return await self._side(key).put_if_absent(key, data)

    async def head(self, key: str) -> Any:
        return await self._driver.head(key)

    async def delete(self, key: str) -> None:
        await self._driver.delete(key)

    async def list(self, prefix: str = "") -> AsyncIterator[Any]:
        async for info in self._driver.list(prefix):
            yield info

    async def aclose(self) -> None:
        """Nothing is its own."""
