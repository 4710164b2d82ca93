"""Checks of the function: it is there, and it is what this driver needs."""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import FabricError
from asyncfabric.aws._missing import deploy_command, explain_missing
from asyncfabric.aws.deploy._cloud import Refused
from asyncfabric.aws.deploy._function import DEPENDENCIES, HANDLER, SERVES, variables
from asyncfabric.aws.deploy._package import build_package
from asyncfabric.aws.deploy._target import Target

from ._finding import Finding

if TYPE_CHECKING:
    from asyncfabric.aws._family import Member
    from asyncfabric.aws.deploy._cloud import Cloud


async def check_function(cloud: Cloud, member: Member) -> Finding:
    """Look for the member that this driver calls."""
    name = member.function_name
    try:
        has = await cloud.call("lambda", "get_function_configuration", FunctionName=name)
    except Refused as error:
        if error.missing:
            words = str(await explain_missing(cloud.session, member))
            says, _, advice = words.partition("; run: ")
            return Finding("function", "failed", says, f"run: {advice}")
        if error.denied:
            return Finding("function", "unknown", f"AWS refuses to say ({error.code})")
        raise
    return await judge_function(has, member, cloud.region)


async def judge_function(has: dict[str, Any], member: Member, region: str) -> Finding:
    """Say what a function's configuration means for this driver."""
    name, mend = member.function_name, f"run: {deploy_command(member, region)}"
    if DEPENDENCIES in variables(has):
        mend += " --requirements ..., with all that it was deployed with"
    served = variables(has).get(SERVES)
    if served is not None:
        mend += "".join(f" --serve {name}" for name in served.split())
    state = has.get("State", "Active")
    if state not in {"Active", "Inactive"}:
        reason = has.get("StateReason", "no reason given")
        return Finding("function", "failed", f"{name} is {state}: {reason}", mend)
    if has.get("PackageType") == "Image":
        return Finding("function", "ok", f"{name}, from an image")
    if has.get("Runtime") != f"python{member.python}" or has.get("Handler") != HANDLER:
        says = f"{name} is not asyncfabric's ({has.get('Runtime')}, {has.get('Handler')})"
        return Finding("function", "failed", says, mend)
    try:
        if served is not None:
            raise FabricError(f"it runs functions of {served} only")
        digest = await asyncio.to_thread(_digest, Target(member.python, member.arch))
    except FabricError as error:
        return Finding("function", "ok", f"{name}; its code wasn't compared: {error}")
    if digest != has.get("CodeSha256"):
        says = f"{name} was deployed by another version of asyncfabric or of its packages"
        return Finding("function", "warning", says, mend)
    return Finding("function", "ok", f"{name}, with this version's code")


def _digest(target: Target) -> str:
    with tempfile.TemporaryDirectory(prefix="asyncfabric-doctor-") as scratch:
        package = build_package(Path(scratch, "worker.zip"), target)
    return base64.b64encode(bytes.fromhex(package.sha256)).decode()
