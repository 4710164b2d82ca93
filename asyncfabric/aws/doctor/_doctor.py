"""All checks, one after another."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from asyncfabric._exceptions import FabricError
from asyncfabric.aws._missing import deploy_command
from asyncfabric.aws._s3 import open_s3_store
from asyncfabric.aws.deploy._bucket import default_bucket
from asyncfabric.aws.deploy._cloud import Cloud, Refused
from asyncfabric.aws.deploy._policies import Place

from ._account import check_clock, check_quota
from ._calls import check_calls
from ._finding import Finding
from ._storage import check_bucket, check_conditional_writes, check_round_trip
from ._workers import check_function

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncfabric.aws._family import Member


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined."""

    member: Member
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    bucket: str | None = None
    max_concurrency: int = 100


async def examine(patient: Patient, say: Callable[[Finding], None]) -> list[Finding]:
    """Run every check that makes sense after those before it; each is said when it is done.

    A check that fails is a finding, not an exception; what AWS refuses to answer is `unknown`.
    """
    examination = _Examination(patient, say)
    async with AsyncExitStack() as stack:
        cloud = Cloud(
            region=patient.region, profile=patient.profile, endpoint_url=patient.endpoint_url
        )
        try:
            await stack.enter_async_context(cloud)
        except FabricError as error:
            examination.add(_failed("credentials", error))
            return examination.findings
        says = f"account {cloud.account}, region {cloud.region}"
        examination.add(Finding("credentials", "ok", says))
        await examination.run(cloud)
    return examination.findings


class _Examination:
    def __init__(self, patient: Patient, say: Callable[[Finding], None]) -> None:
        self.findings: list[Finding] = []
        self._patient = patient
        self._say = say

    def add(self, finding: Finding) -> bool:
        """Note a finding, and return whether it has not failed."""
        self.findings.append(finding)
        self._say(finding)
        return finding.status != "failed"

    async def run(self, cloud: Cloud) -> None:
        patient, member = self._patient, self._patient.member
        place = Place(
            member.name,
            cloud.partition,
            cloud.region,
            cloud.account,
            patient.bucket or default_bucket(cloud.account, cloud.region),
            member.name,
        )
        command = deploy_command(member, cloud.region)
        backend, storage = _urls(patient, place)
        await self._check("clock", check_clock(cloud))
        await self._check("quota", check_quota(cloud, member, patient.max_concurrency))
        function = await self._check("function", check_function(cloud, member))
        bucket = await self._check("bucket", check_bucket(cloud, place, command))
        if not bucket:
            return
        store = open_s3_store(storage, session=cloud.session)
        try:
            if not await self._check("storage", check_round_trip(store)):
                return
            await self._check("conditional writes", check_conditional_writes(store))
            if function:
                await self._check("calls", check_calls(backend, store))
        finally:
            await store.aclose()

    async def _check(self, name: str, check: Awaitable[Finding]) -> bool:
        try:
            finding = await check
        except Refused as error:
            if not error.denied:
                return self.add(_failed(name, error))
            finding = Finding(name, "unknown", f"AWS refuses to say ({error.code})")
        except FabricError as error:
            finding = _failed(name, error)
        return self.add(finding)


def _failed(name: str, error: FabricError) -> Finding:
    says, _, advice = str(error).rpartition("; ")
    return Finding(name, "failed", says or advice, advice if says else "")


def _urls(patient: Patient, place: Place) -> tuple[str, str]:
    where = {"endpoint_url": patient.endpoint_url} if patient.endpoint_url else {}
    member = patient.member
    backend = {"region": place.region, "memory": member.memory, "arch": member.arch, **where}
    if patient.profile:
        backend["profile"] = patient.profile
    storage = {"region": place.region, "owner": place.account, **where}
    return (
        f"lambda://{place.name}?{urlencode(backend, safe=':/')}",
        f"s3://{place.bucket}/{place.prefix}?{urlencode(storage, safe=':/')}",
    )
