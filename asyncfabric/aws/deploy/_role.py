"""The role that workers run as."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import DeploymentError

from ._bucket import OURS
from ._cloud import Refused
from ._policies import trust_policy, worker_policy
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._cloud import Cloud
    from ._policies import Place

POLICY = "asyncfabric-worker"


def role_name(name: str, region: str) -> str:
    """Return the name of a family's role; roles know no regions, so it says its own."""
    return f"{name}-{region}-worker"


def role_arn(place: Place) -> str:
    """Return the ARN of a family's role."""
    role = role_name(place.name, place.region)
    return f"arn:{place.partition}:iam::{place.account}:role/{role}"


async def plan_role(
    cloud: Cloud, place: Place, *, boundary: str | None, tags: dict[str, str]
) -> list[Step]:
    """Return what the family's role lacks.

    Raises:
        DeploymentError: there is a role of that name which `asyncfabric deploy` hasn't made.
    """
    role = role_name(place.name, place.region)
    what = f"role {role}"
    policy, trust = worker_policy(place), trust_policy()

    def call(operation: str, **arguments: object) -> Callable[[], Awaitable[object]]:
        return lambda: cloud.call("iam", operation, RoleName=role, **arguments)

    put_policy = call("put_role_policy", PolicyName=POLICY, PolicyDocument=json.dumps(policy))
    present = await _find(cloud, role)
    if present is None:
        create = call(
            "create_role",
            AssumeRolePolicyDocument=json.dumps(trust),
            Description=f"Workers of asyncfabric, family {place.name}",
            Tags=_pairs(tags),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )
        return [Step("create", what, create), Step("update", what, put_policy, "its policy")]
    if not _is_ours(present):
        msg = (
            f"there is a role {role}, and asyncfabric hasn't made it; give it by --role-arn "
            f"{present['Arn']} to use it as it is, or choose another --name"
        )
        raise DeploymentError(msg)
    steps: list[Step] = []
    if _document(present["AssumeRolePolicyDocument"]) != trust:
        put_trust = call("update_assume_role_policy", PolicyDocument=json.dumps(trust))
        steps.append(Step("update", what, put_trust, "who may take it"))
    held = present.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
    if boundary and held != boundary:
        put_boundary = call("put_role_permissions_boundary", PermissionsBoundary=boundary)
        steps.append(Step("update", what, put_boundary, "its boundary"))
    if await _policy(cloud, role) != policy:
        steps.append(Step("update", what, put_policy, "its policy"))
    has = {tag["Key"]: tag["Value"] for tag in present.get("Tags", ())}
    if lacking := {key: value for key, value in tags.items() if has.get(key) != value}:
        tag = call("tag_role", Tags=_pairs(lacking))
        steps.append(Step("update", what, tag, "tags", optional=True))
    return steps


async def has_role(cloud: Cloud, role: str) -> bool:
    """Return whether there is a role that `asyncfabric deploy` has made; no if we can't see."""
    try:
        present = await _find(cloud, role)
    except Refused as error:
        if error.denied:
            return False
        raise
    return present is not None and _is_ours(present)


async def delete_role(cloud: Cloud, role: str) -> None:
    """Delete a role with its policies; one that is gone is no error."""
    try:
        async for policy in cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=role):
            await cloud.call("iam", "delete_role_policy", RoleName=role, PolicyName=policy)
        async for attached in cloud.pages(
            "iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role
        ):
            await cloud.call(
                "iam", "detach_role_policy", RoleName=role, PolicyArn=attached["PolicyArn"]
            )
        await cloud.call("iam", "delete_role", RoleName=role)
    except Refused as error:
        if not error.missing:
            raise


def _is_ours(role: dict[str, Any]) -> bool:
    return any(tag["Key"] == OURS for tag in role.get("Tags", ()))


async def _find(cloud: Cloud, role: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = (await cloud.call("iam", "get_role", RoleName=role))["Role"]
    except Refused as error:
        if error.missing:
            return None
        raise
    return found


async def _policy(cloud: Cloud, role: str) -> object:
    try:
        answer = await cloud.call("iam", "get_role_policy", RoleName=role, PolicyName=POLICY)
    except Refused as error:
        if error.missing:
            return None
        raise
    return _document(answer["PolicyDocument"])


def _document(value: object) -> object:
    # The SDK decodes documents; emulators may send them in a way that it doesn't.
    return json.loads(value) if isinstance(value, str) else value


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
