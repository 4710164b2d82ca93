"""One member of the family as a Lambda function."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import DeploymentError

from ._cloud import Refused
from ._package import MOST_DIRECT
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncfabric.aws._family import Member

    from ._archive import Archive
    from ._bucket import Bucket
    from ._cloud import Cloud
    from ._settings import Settings

HANDLER = "asyncfabric_runtime._aws_lambda.handler"
DEPENDENCIES = "ASYNCFABRIC_DEPENDENCIES"
"""Environment variable of a function: where its archive of packages is, and its digest."""
SERVES = "ASYNCFABRIC_SERVES"
"""Environment variable of a function: the only modules and functions that it runs."""
EVENT_AGE = 900
"""Seconds that an event may wait."""
_PATIENCE = 300.0
"""Seconds within which Lambda makes a function ready; images take longest."""
_ROLE_PATIENCE = 60.0
"""Seconds that IAM may take to tell Lambda of a new role."""
_LONGEST_PAUSE = 5.0
_CONFLICT = "ResourceConflictException"
"""A function that is being updated, or, of one that is to be made, that it is there."""


class Wanted(NamedTuple):
    """What all members have in common."""

    settings: Settings
    role: str
    """ARN."""
    package: Archive | None
    """None: an image."""
    dependencies: str | None
    """`s3://bucket/key#sha256`."""
    tags: dict[str, str]


class Function:
    """A member, wanted and present."""

    def __init__(self, cloud: Cloud, bucket: Bucket, member: Member, wanted: Wanted) -> None:
        self.name = member.function_name
        self._cloud = cloud
        self._bucket = bucket
        self._member = member
        self._wanted = wanted

    async def plan(self) -> list[Step]:
        """Return what the function lacks."""
        what = f"function {self.name}"
        present = await find(self._cloud, self.name)
        if present is None:
            steps = [Step("create", what, self._create)]
        else:
            steps = self._differences(what, present)
        steps += await self._plan_events(what, fresh=present is None)
        return steps + await self._plan_concurrency(what, fresh=present is None)

    def configuration(self) -> dict[str, Any]:
        """Return the configuration, as Lambda takes it."""
        settings = self._wanted.settings
        configuration: dict[str, Any] = {
            "Role": self._wanted.role,
            "Timeout": settings.timeout,
            "MemorySize": self._member.memory,
            "EphemeralStorage": {"Size": settings.ephemeral_storage},
            "Environment": {"Variables": environment(self._wanted.dependencies, settings.serve)},
            "Description": f"Worker of asyncfabric, family {settings.name}",
        }
        if settings.image is None:
            configuration |= {
                "Runtime": settings.target.runtime,
                "Handler": HANDLER,
                "Layers": list(settings.layers),
            }
        return configuration

    def _differences(self, what: str, present: dict[str, Any]) -> list[Step]:
        steps: list[Step] = []
        has = present["Configuration"]
        if self._is_other_code(present):
            steps.append(Step("update", what, self._update_code, "its code"))
        wanted = self.configuration()
        if others := [key for key, value in wanted.items() if _present(has, key) != value]:
            update = self._retrying("update_function_configuration", wanted)
            steps.append(Step("update", what, update, self._reasons(others, has)))
        tags = present.get("Tags", {})
        lacking = {key: value for key, value in self._wanted.tags.items() if tags.get(key) != value}
        if lacking:

            async def tag() -> None:
                arn = has["FunctionArn"]
                await self._cloud.call("lambda", "tag_resource", Resource=arn, Tags=lacking)

            steps.append(Step("update", what, tag, "tags", optional=True))
        return steps

    def _reasons(self, keys: list[str], has: dict[str, Any]) -> str:
        words = ", ".join(sorted(keys))
        if DEPENDENCIES in variables(has) and self._wanted.dependencies is None:
            words += "; it loses its packages, give --requirements again to keep them"
        if SERVES in variables(has) and not self._wanted.settings.serve:
            words += "; it will run whatever it is sent, give --serve again to keep it closed"
        return words

    def _is_other_code(self, present: dict[str, Any]) -> bool:
        package = self._wanted.package
        if package is None:
            return bool(present["Code"].get("ImageUri") != self._wanted.settings.image)
        digest = base64.b64encode(bytes.fromhex(package.sha256)).decode()
        return bool(present["Configuration"].get("CodeSha256") != digest)

    async def _create(self) -> None:
        settings = self._wanted.settings
        create = self._retrying(
            "create_function",
            {
                "Code": await self._code(),
                "PackageType": "Zip" if settings.image is None else "Image",
                "Architectures": [settings.arch],
                "Tags": self._wanted.tags,
                **self.configuration(),
            },
        )
        try:
            await create()
        except Refused as error:
            if error.code != _CONFLICT:
                raise
            # Somebody deploys at the same time, or AWS did it and its answer was lost.
            await self._ready()
            if present := await find(self._cloud, self.name):
                for step in self._differences(f"function {self.name}", present):
                    await step.run()

    async def _update_code(self) -> None:
        arguments = {"Architectures": [self._wanted.settings.arch], **await self._code()}
        await self._retrying("update_function_code", arguments)()

    async def _code(self) -> dict[str, Any]:
        package = self._wanted.package
        if package is None:
            return {"ImageUri": self._wanted.settings.image}
        data = await asyncio.to_thread(package.path.read_bytes)
        if package.size <= MOST_DIRECT:
            return {"ZipFile": data}
        key = f"{self._wanted.settings.prefix}/packages/{package.sha256}.zip"
        await self._bucket.call("put_object", Key=key, Body=data)
        return {"S3Bucket": self._bucket.name, "S3Key": key}

    def _retrying(self, operation: str, arguments: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        """Return the call, repeated while Lambda doesn't know a new role or is still updating."""

        async def run() -> None:
            for pause in _pauses(_ROLE_PATIENCE):
                try:
                    await self._cloud.call("lambda", operation, FunctionName=self.name, **arguments)
                    break
                except Refused as error:
                    soon = (error.code == _CONFLICT and operation != "create_function") or (
                        error.code == "InvalidParameterValueException"
                        and "cannot be assumed" in error.reason
                    )
                    if not soon or pause is None:
                        raise
                    await asyncio.sleep(pause)
            await self._ready()

        return run

    async def _ready(self) -> None:
        """Wait until the function takes calls."""
        for pause in _pauses(_PATIENCE):
            has = await self._cloud.call(
                "lambda", "get_function_configuration", FunctionName=self.name
            )
            state, update = has.get("State", "Active"), has.get("LastUpdateStatus", "Successful")
            if "Failed" in (state, update):
                reason = has.get("StateReason") or has.get("LastUpdateStatusReason") or "no reason"
                msg = f"Lambda can't run {self.name}: {reason}; mend that and deploy again"
                raise DeploymentError(msg)
            if (state, update) == ("Active", "Successful"):
                return
            if pause is None:
                break
            await asyncio.sleep(pause)
        msg = f"{self.name} wasn't ready after {_PATIENCE:.0f} s; deploy again, which looks anew"
        raise DeploymentError(msg)

    async def _plan_events(self, what: str, *, fresh: bool) -> list[Step]:
        wanted = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": EVENT_AGE}
        if not fresh:
            try:
                has = await self._cloud.call(
                    "lambda", "get_function_event_invoke_config", FunctionName=self.name
                )
            except Refused as error:
                if error.denied:
                    return []
                if not error.missing:
                    raise
                has = {}
            if {key: has.get(key) for key in wanted} == wanted:
                return []

        async def put() -> None:
            await self._cloud.call(
                "lambda", "put_function_event_invoke_config", FunctionName=self.name, **wanted
            )

        return [Step("update", what, put, "events aren't repeated by Lambda", optional=True)]

    async def _plan_concurrency(self, what: str, *, fresh: bool) -> list[Step]:
        wanted = self._wanted.settings.reserved_concurrency
        if wanted is None:
            return []
        if not fresh:
            has = await self._cloud.call(
                "lambda", "get_function_concurrency", FunctionName=self.name
            )
            if has.get("ReservedConcurrentExecutions") == wanted:
                return []

        async def put() -> None:
            await self._cloud.call(
                "lambda",
                "put_function_concurrency",
                FunctionName=self.name,
                ReservedConcurrentExecutions=wanted,
            )

        return [Step("update", what, put, f"{wanted} workers at once are reserved")]


def environment(dependencies: str | None, serve: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment variables of a function."""
    found = {DEPENDENCIES: dependencies} if dependencies else {}
    return found | ({SERVES: " ".join(serve)} if serve else {})


def variables(has: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables in a function's configuration."""
    found: dict[str, str] = has.get("Environment", {}).get("Variables", {})
    return found


async def find(cloud: Cloud, name: str) -> dict[str, Any] | None:
    """Return what Lambda says of a function (`GetFunction`), or None if there is none."""
    try:
        return await cloud.call("lambda", "get_function", FunctionName=name)
    except Refused as error:
        if error.missing:
            return None
        raise


def _present(has: dict[str, Any], key: str) -> object:
    """Return a part of a function's configuration in the form in which it is set."""
    if key == "Environment":
        return {"Variables": variables(has)}
    if key == "Layers":
        return [layer["Arn"] for layer in has.get("Layers") or ()]
    return has.get(key)


def _pauses(patience: float) -> list[float | None]:
    """Return the seconds to wait between looks, ever longer; None stands at the end."""
    pauses: list[float | None] = []
    pause, total = 0.1, 0.0
    while total < patience:
        pauses.append(pause)
        total += pause
        pause = min(pause * 1.6, _LONGEST_PAUSE)
    return [*pauses, None]
