"""Log groups: made ahead, so that logs go after a while and workers needn't make any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._cloud import Refused
from ._steps import Step

if TYPE_CHECKING:
    from ._cloud import Cloud


def log_group(function: str) -> str:
    """Return the name of a function's log group."""
    return f"/aws/lambda/{function}"


async def plan_logs(cloud: Cloud, function: str, days: int, tags: dict[str, str]) -> list[Step]:
    """Return what the function's log group lacks; nothing of it keeps a worker from running."""
    group = log_group(function)
    what = f"log group {group}"

    async def create() -> None:
        try:
            await cloud.call("logs", "create_log_group", logGroupName=group, tags=tags)
        except Refused as error:
            if error.code != "ResourceAlreadyExistsException":
                raise

    async def retain() -> None:
        await cloud.call("logs", "put_retention_policy", logGroupName=group, retentionInDays=days)

    keep = Step("update", what, retain, f"kept for {days} days", optional=True)
    try:
        present = await _find(cloud, group)
    except Refused as error:
        if not error.denied:
            raise
        present = None
    if present is None:
        return [Step("create", what, create, optional=True), keep]
    return [] if present.get("retentionInDays") == days else [keep]


async def delete_logs(cloud: Cloud, group: str) -> None:
    """Delete a log group; one that is gone is no error."""
    try:
        await cloud.call("logs", "delete_log_group", logGroupName=group)
    except Refused as error:
        if not error.missing:
            raise


async def log_groups(cloud: Cloud, prefix: str) -> list[str]:
    """Return the names of all log groups that begin so."""
    return [
        str(group["logGroupName"])
        async for group in cloud.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix
        )
    ]


async def _find(cloud: Cloud, group: str) -> dict[str, Any] | None:
    async for found in cloud.pages(
        "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=group
    ):
        if found["logGroupName"] == group:
            present: dict[str, Any] = found
            return present
    return None
