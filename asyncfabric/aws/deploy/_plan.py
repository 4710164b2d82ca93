"""From what is wanted to what has to be done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from ._bucket import OURS, Bucket, default_bucket
from ._dependencies import (
    Dependencies,
    build_dependencies,
    check_space,
    plan_upload,
    reference,
)
from ._function import Function, Wanted
from ._logs import plan_logs
from ._package import build_package
from ._policies import Place
from ._role import plan_role, role_arn

if TYPE_CHECKING:
    from pathlib import Path

    from ._archive import Archive
    from ._cloud import Cloud
    from ._settings import Settings
    from ._steps import Step


class Plan(NamedTuple):
    """What has to be done, and what there is then."""

    place: Place
    steps: list[Step]
    functions: list[str]
    role: str
    package: Archive | None
    dependencies: Dependencies | None


def place_of(cloud: Cloud, settings: Settings) -> Place:
    """Return where the family is."""
    return Place(
        settings.name,
        cloud.partition,
        cloud.region,
        cloud.account,
        settings.bucket or default_bucket(cloud.account, cloud.region),
        settings.prefix,
    )


async def make_plan(cloud: Cloud, settings: Settings, scratch: Path) -> Plan:
    """Compare what is wanted with what is there. Nothing is changed.

    The packages are built in the directory `scratch`, which has to stay until the plan has been
    carried out.

    Raises:
        DeploymentError: the bucket isn't ours, a package can't be built, AWS refuses to answer.
    """
    place = place_of(cloud, settings)
    tags = {**settings.tags, OURS: settings.name}
    bucket = Bucket(cloud, place)
    steps = await bucket.plan(settings.expire_days, tags, named=settings.bucket is not None)
    role = settings.role_arn
    if role is None:
        role = role_arn(place)
        boundary = settings.permissions_boundary
        steps += await plan_role(cloud, place, boundary=boundary, tags=tags)
    package, dependencies = await asyncio.to_thread(_build, settings, scratch)
    where: str | None = None
    if dependencies is not None:
        steps += await plan_upload(bucket, place.prefix, dependencies.archive)
        where = reference(place, dependencies.archive, cloud.endpoint_url)
    wanted = Wanted(settings, role, package, where, tags)
    functions = [Function(cloud, bucket, each, wanted) for each in settings.members]
    for function in functions:
        steps += await plan_logs(cloud, function.name, settings.log_days, tags)
        steps += await function.plan()
    names = [function.name for function in functions]
    return Plan(place, steps, names, role, package, dependencies)


def urls(cloud: Cloud, settings: Settings, place: Place) -> tuple[str, str]:
    """Return the URLs of backend and storage, for the largest member where there are several."""
    where = {"endpoint_url": cloud.endpoint_url} if cloud.endpoint_url else {}
    largest = settings.members[-1]
    backend = {"region": place.region, "memory": str(largest.memory), "arch": largest.arch, **where}
    storage = {"region": place.region, "owner": place.account, **where}
    return (
        f"lambda://{place.name}?{urlencode(backend, safe=':/')}",
        f"s3://{place.bucket}/{place.prefix}?{urlencode(storage, safe=':/')}",
    )


def _build(settings: Settings, scratch: Path) -> tuple[Archive | None, Dependencies | None]:
    if settings.image is not None:
        return None, None
    package = build_package(scratch / "worker.zip", settings.target, settings.serve)
    if not settings.requirements:
        return package, None
    path = scratch / "dependencies.zip"
    dependencies = build_dependencies(path, settings.requirements, settings.target)
    check_space(dependencies.archive, settings.ephemeral_storage)
    return package, dependencies
