"""Taking a family away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric._exceptions import DeploymentError
from asyncfabric.aws._family import Member, check_name
from asyncfabric_runtime import PYTHON, WIRE_VERSION

from ._bucket import Bucket, default_bucket
from ._cloud import Refused
from ._logs import delete_logs, log_group, log_groups
from ._policies import Place
from ._role import delete_role, has_role, role_name
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ._cloud import Cloud

_PAGE = 1000
"""Objects that one request deletes."""


async def members(cloud: Cloud, name: str) -> list[Member]:
    """Return the members of a family that are deployed."""
    found = [
        Member.parse(function["FunctionName"])
        async for function in cloud.pages("lambda", "list_functions", "Functions")
    ]
    return sorted(each for each in found if each is not None and each.name == name)


async def plan_destroy(
    cloud: Cloud,
    name: str,
    *,
    unused: bool = False,
    bucket: str | None = None,
    contents: bool = False,
    bucket_too: bool = False,
) -> list[Step]:
    """Return what there is of a family, as steps that delete it.

    Args:
        cloud: where.
        name: the family.
        unused: only functions that this driver can't use: other wire versions, other Pythons.
        bucket: its name, default the family's own.
        contents: the family's objects in the bucket too.
        bucket_too: the bucket itself too, if `asyncfabric deploy` has made it and nothing of
            another family is in it.

    Raises:
        DeploymentError: the bucket is another account's, or must stay.
    """
    check_name(name)
    place = Place(
        name,
        cloud.partition,
        cloud.region,
        cloud.account,
        bucket or default_bucket(cloud.account, cloud.region),
        name,
    )
    steps: list[Step] = []
    groups: set[str] = set()
    for each in await members(cloud, name):
        if unused and (each.wire, each.python) == (WIRE_VERSION, PYTHON):
            continue
        steps.append(_function(cloud, each.function_name))
        groups.add(log_group(each.function_name))
    groups = await _present_groups(cloud, name, groups, unused=unused)
    steps += [
        Step("delete", f"log group {group}", _deleting_logs(cloud, group), optional=True)
        for group in sorted(groups)
    ]
    if unused:
        return steps
    role = role_name(name, cloud.region)
    if await has_role(cloud, role):
        steps.append(Step("delete", f"role {role}", lambda: delete_role(cloud, role)))
    if contents or bucket_too:
        steps += await _plan_bucket(Bucket(cloud, place), place.prefix, bucket_too=bucket_too)
    return steps


def _function(cloud: Cloud, name: str) -> Step:
    async def delete() -> None:
        try:
            await cloud.call("lambda", "delete_function", FunctionName=name)
        except Refused as error:
            if not error.missing:
                raise

    return Step("delete", f"function {name}", delete)


def _deleting_logs(cloud: Cloud, group: str) -> Callable[[], Awaitable[None]]:
    return lambda: delete_logs(cloud, group)


async def _present_groups(cloud: Cloud, name: str, groups: set[str], *, unused: bool) -> set[str]:
    """Return the log groups that are there, those of functions that are gone included."""
    try:
        present = await log_groups(cloud, log_group(f"{name}-w"))
    except Refused as error:
        if error.denied:
            return groups
        raise
    if unused:
        return groups & {*present}
    root = log_group("")
    found = [(group, Member.parse(group.removeprefix(root))) for group in present]
    return {group for group, each in found if each is not None and each.name == name}


async def _plan_bucket(bucket: Bucket, prefix: str, *, bucket_too: bool) -> list[Step]:
    if not await bucket.exists():
        return []
    if bucket_too:
        if not await bucket.is_ours():
            msg = (
                f"the bucket {bucket.name} wasn't made by asyncfabric and stays; "
                "use --bucket-contents to delete the family's objects in it"
            )
            raise DeploymentError(msg)
        async for key, _ in _versions(bucket, ""):
            if not key.startswith(f"{prefix}/"):
                msg = (
                    f"the bucket {bucket.name} holds other things too ({key}) and stays; "
                    "use --bucket-contents to delete the family's objects in it"
                )
                raise DeploymentError(msg)
    steps: list[Step] = []
    async for _ in _versions(bucket, f"{prefix}/"):
        what = f"objects s3://{bucket.name}/{prefix}/*"
        steps.append(Step("delete", what, lambda: _empty(bucket, prefix)))
        break
    if bucket_too:
        steps.append(Step("delete", f"bucket {bucket.name}", lambda: bucket.call("delete_bucket")))
    return steps


async def _versions(bucket: Bucket, prefix: str) -> AsyncIterator[tuple[str, str]]:
    """Yield keys and version ids of all objects, former versions and delete marks included."""
    key: str | None = None
    version: str | None = None
    while True:
        where = {"KeyMarker": key, "VersionIdMarker": version}
        page = await bucket.call(
            "list_object_versions",
            Prefix=prefix,
            **{name: value for name, value in where.items() if value},
        )
        for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            yield each["Key"], each["VersionId"]
        if not page.get("IsTruncated"):
            return
        key, version = page.get("NextKeyMarker"), page.get("NextVersionIdMarker")


async def _empty(bucket: Bucket, prefix: str) -> None:
    """Delete from the first page of the listing until that is empty."""
    while batch := [found async for found in _first(bucket, f"{prefix}/")]:
        await _delete(bucket, [{"Key": key, "VersionId": version} for key, version in batch])


async def _first(bucket: Bucket, prefix: str) -> AsyncIterator[tuple[str, str]]:
    page = await bucket.call("list_object_versions", Prefix=prefix, MaxKeys=_PAGE)
    for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
        yield each["Key"], each["VersionId"]


async def _delete(bucket: Bucket, batch: list[dict[str, str]]) -> None:
    answer = await bucket.call("delete_objects", Delete={"Objects": batch, "Quiet": True})
    if errors := answer.get("Errors"):
        first = errors[0]
        msg = (
            f"{len(errors)} objects of {bucket.name} can't be deleted, for one {first.get('Key')}: "
            f"{first.get('Message')}; ask who administers the bucket"
        )
        raise DeploymentError(msg)
