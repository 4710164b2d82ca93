"""Why a function isn't there, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncfabric._exceptions import DeploymentError, VersionMismatch

from ._family import ARCHITECTURES, DEFAULT_MEMORY, Member, machine
from ._sdk import load

if TYPE_CHECKING:
    from ._session import Session

_SHOWN = 8
"""Members that a message lists at most."""


async def explain_missing(session: Session, member: Member) -> DeploymentError | VersionMismatch:
    """Return the exception for a member that Lambda doesn't know.

    It looks which other members of the family there are; where that isn't allowed, it says less.

    Args:
        session: an open session.
        member: the one that was called.
    """
    sdk = load("botocore.exceptions")
    try:
        others = await _family(session, member.name)
    except (sdk.BotoCoreError, sdk.ClientError):
        others = None
    return explained(member, others, session.region)


def explained(
    member: Member, others: list[Member] | None, region: str
) -> DeploymentError | VersionMismatch:
    """Return the exception, given which members there are; None where nobody knows."""
    what = f"there is no function {member.function_name} in {region}"
    command = deploy_command(member, region)
    if others is None:
        return DeploymentError(f"{what}, or this account may not call it; run: {command}")
    if not others:
        return DeploymentError(
            f"{what}, nor any other of the family {member.name!r}; run: {command}"
            " (or see that region, profile and name are those you deployed with)"
        )
    listed = ", ".join(each.function_name for each in others[:_SHOWN])
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    deployed = f"deployed are {listed}{more}"
    fitting = [each for each in others if (each.wire, each.python) == (member.wire, member.python)]
    if fitting:
        url = f"lambda://{member.name}?memory={fitting[0].memory}&arch={fitting[0].arch}"
        return DeploymentError(f"{what}; {deployed}; run: {command}, or use {url}")
    if any(each.wire == member.wire for each in others):
        pythons = " or ".join(sorted({each.python for each in others if each.wire == member.wire}))
        return VersionMismatch(
            f"this is Python {member.python}, and the workers' is {pythons}: {deployed}; "
            f"run: {command}, or run this program with Python {pythons}"
        )
    return VersionMismatch(
        f"this asyncfabric speaks wire version {member.wire}, and no worker does: {deployed}; "
        f"run: {command}"
    )


def deploy_command(member: Member, region: str) -> str:
    """Return the command that makes a member."""
    words = ["asyncfabric deploy"]
    if member.name != "asyncfabric":
        words.append(f"--name {member.name}")
    words.append(f"--region {region}")
    if member.memory != DEFAULT_MEMORY:
        words.append(f"--memory {member.memory}")
    if member.arch != machine() and member.arch in ARCHITECTURES:
        words.append(f"--arch {member.arch}")
    return " ".join(words)


async def _family(session: Session, name: str) -> list[Member]:
    found: list[Member] = []
    async with session.client("lambda") as client:
        async for page in client.get_paginator("list_functions").paginate():
            parsed = (Member.parse(each["FunctionName"]) for each in page["Functions"])
            found += [each for each in parsed if each is not None and each.name == name]
    return sorted(found)
