"""The bucket: private, over TLS only, emptied by itself; and never somebody else's."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import DeploymentError

from ._cloud import Refused
from ._plain import is_fields, is_items
from ._policies import bucket_policy
from ._steps import Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._cloud import Cloud
    from ._policies import Place
    from ._steps import Verb

OURS = "asyncfabric"
"""Tag of buckets that `asyncfabric deploy` has made; others are used as they are."""
DAYS_OF_PARTS = 1
"""Days after which an unfinished upload goes."""

_BLOCK = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_ENCRYPTION = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
_OWNERSHIP = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
DAYS_OF_SPILL = 2
"""Days after which goes what drivers delete once it is read: what was too large for an invocation,
heartbeats, and what workers of one stage write for those of the next."""
_SHORT_LIVED = ("progress", "reduce", "shuffle", "sort", "spill")
_EXPIRING = ("objects", "packages", *_SHORT_LIVED)
"""What expires, below the family's prefix. Dependencies don't: functions refer to them. Jobs don't:
a rule goes by the age of each object, and would take the manifest of a job under way, and its first
results before its last. They stay until they are discarded."""
_RETIRED = ("jobs",)
"""What had a rule in earlier versions."""


def default_bucket(account: str, region: str) -> str:
    """Return the name of the bucket where none is given."""
    return f"asyncfabric-{account}-{region}"


def lifecycle_rules(prefix: str, days: int) -> list[dict[str, Any]]:
    """Return the rules for a family's objects: what expires, and unfinished uploads."""
    rules: list[dict[str, Any]] = [
        {
            "ID": f"{prefix}/{part}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix}/{part}/"},
            "Expiration": {"Days": DAYS_OF_SPILL if part in _SHORT_LIVED else days},
        }
        for part in _EXPIRING
    ]
    rules.append(
        {
            "ID": f"{prefix}/unfinished",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix}/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": DAYS_OF_PARTS},
        }
    )
    return rules


class Bucket:
    """A bucket of this account; every request says so, and fails on another's."""

    def __init__(self, cloud: Cloud, place: Place) -> None:
        self.name = place.bucket
        self._cloud = cloud
        self._place = place

    async def exists(self) -> bool:
        """Return whether it is there.

        Raises:
            DeploymentError: it is another account's, or this account may not look.
        """
        try:
            await self.call("head_bucket")
        except Refused as error:
            if error.missing:
                return False
            if error.denied:
                msg = (
                    f"the bucket {self.name} belongs to another account than "
                    f"{self._cloud.account}, or may not be looked at; name one of your own "
                    "with --bucket"
                )
                raise DeploymentError(msg) from error
            if error.code in {"301", "400", "PermanentRedirect"}:
                msg = (
                    f"the bucket {self.name} is in another region than {self._cloud.region}; "
                    "name one that is there with --bucket, or that region with --region"
                )
                raise DeploymentError(msg) from error
            raise
        return True

    async def is_ours(self) -> bool:
        """Return whether `asyncfabric deploy` has made it."""
        return OURS in (await self._tags() or set())

    async def _tags(self) -> set[str] | None:
        """Return the names of its tags; None where we may not look."""
        try:
            answer = await self.call("get_bucket_tagging")
        except Refused as error:
            if error.missing:
                return set()
            if error.denied:
                return None
            raise
        return {tag["Key"] for tag in answer["TagSet"]}

    async def plan(self, days: int, tags: dict[str, str], *, named: bool) -> list[Step]:
        """Return what is missing: all of it, or, of a bucket of ours, what has been changed.

        A bucket that isn't ours is used as it is. But one that nobody `named`, and which has no
        tags at all, is what a deployment has left that was cut off: it is made ours.
        """
        if not await self.exists():
            make = self._step("create", "", lambda: self._create(tags))
            return [make, *(await self._plan_settings(days, fresh=True))]
        present = await self._tags()
        if present is not None and OURS in present:
            return await self._plan_settings(days, fresh=False)
        if named or present is None or present:
            return []
        mark = self._step("update", "tags", lambda: self._tag(tags))
        return [mark, *(await self._plan_settings(days, fresh=False))]

    async def changed(self) -> list[str]:
        """Return which settings of a bucket of ours are no more what they were made."""
        return [step.why for step in await self._plan_settings(None, fresh=False)]

    async def call(self, operation: str, **arguments: object) -> dict[str, Any]:
        """Make an S3 call for the bucket as this account's."""
        return await self._cloud.call(
            "s3",
            operation,
            Bucket=self.name,
            ExpectedBucketOwner=self._cloud.account,
            **arguments,
        )

    async def has(self, key: str) -> bool:
        """Return whether there is an object under `key`."""
        try:
            await self.call("head_object", Key=key)
        except Refused as error:
            if error.missing or error.denied:
                return False
            raise
        return True

    async def _create(self, tags: dict[str, str]) -> None:
        arguments: dict[str, Any] = {"Bucket": self.name, "ObjectOwnership": "BucketOwnerEnforced"}
        if self._cloud.region != "us-east-1":
            arguments["CreateBucketConfiguration"] = {"LocationConstraint": self._cloud.region}
        try:
            await self._cloud.call("s3", "create_bucket", **arguments)
        except Refused as error:
            if error.code != "BucketAlreadyExists":
                raise
            msg = f"the bucket {self.name} belongs to another account; give another by --bucket"
            raise DeploymentError(msg) from error
        try:
            await self._tag(tags)
        except Refused:
            # Without its tag the next deployment would take it for somebody's, and leave it open.
            with suppress(Refused):
                await self.call("delete_bucket")
            raise

    async def _tag(self, tags: dict[str, str]) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
        await self.call("put_bucket_tagging", Tagging={"TagSet": pairs})

    async def _plan_settings(self, days: int | None, *, fresh: bool) -> list[Step]:
        steps: list[Step] = []
        for what, get, key, wanted, put in (
            ("public access", "get_public_access_block", "PublicAccessBlockConfiguration", _BLOCK,
             "put_public_access_block"),
            ("ownership", "get_bucket_ownership_controls", "OwnershipControls", _OWNERSHIP,
             "put_bucket_ownership_controls"),
            ("encryption", "get_bucket_encryption", "ServerSideEncryptionConfiguration",
             _ENCRYPTION, "put_bucket_encryption"),
        ):  # fmt: skip
            present = None if fresh else await self._read(get, key)
            if not _holds(present, wanted):
                steps.append(self._step("update", what, self._put(put, **{key: wanted})))
        steps += await self._plan_policy(fresh=fresh)
        if days is None:
            return steps
        rules = lifecycle_rules(self._place.prefix, days)
        found: list[dict[str, Any]] = []
        if not fresh:
            found = await self._read("get_bucket_lifecycle_configuration", "Rules") or []
        names = {rule["ID"] for rule in rules}
        names.update(f"{self._place.prefix}/{part}" for part in _RETIRED)
        others = [rule for rule in found if rule.get("ID") not in names]
        mine = [rule for rule in found if rule.get("ID") in names]
        if not _holds(sorted(mine, key=_id), sorted(rules, key=_id)):
            put_rules = self._put(
                "put_bucket_lifecycle_configuration",
                LifecycleConfiguration={"Rules": [*others, *rules]},
            )
            steps.append(self._step("update", f"objects expire after {days} days", put_rules))
        return steps

    async def _plan_policy(self, *, fresh: bool) -> list[Step]:
        if self._cloud.session.endpoint("s3").startswith("http:"):
            return []  # an emulator without TLS: the policy would shut everybody out
        policy = bucket_policy(self._place)
        (ours,) = policy["Statement"]
        text = None if fresh else await self._read("get_bucket_policy", "Policy")
        present: Any = json.loads(text)["Statement"] if text else []
        statements: list[Any] = present if is_items(present) else [present]
        if ours in statements:
            return []
        others = [each for each in statements if each.get("Sid") != ours["Sid"]]
        policy["Statement"] = [*others, ours]
        put_policy = self._put("put_bucket_policy", Policy=json.dumps(policy))
        return [self._step("update", "TLS only", put_policy)]

    async def _read(self, operation: str, key: str) -> Any:  # noqa: ANN401 - as AWS gives it
        try:
            return (await self.call(operation)).get(key)
        except Refused as error:
            if error.missing:
                return None
            raise

    def _put(self, operation: str, **arguments: object) -> Callable[[], Awaitable[object]]:
        return lambda: self.call(operation, **arguments)

    def _step(self, verb: Verb, why: str, run: Callable[[], Awaitable[object]]) -> Step:
        return Step(verb, f"bucket {self.name}", run, why)


def _id(rule: dict[str, Any]) -> str:
    return str(rule["ID"])


def _holds(present: Any, wanted: Any) -> bool:  # noqa: ANN401 - plain data
    """Return whether all that is wanted is present; AWS adds fields of its own."""
    if is_fields(wanted) and is_fields(present):
        return all(_holds(present.get(key), value) for key, value in wanted.items())
    if is_items(wanted) and is_items(present):
        return len(wanted) == len(present) and all(map(_holds, present, wanted))
    return bool(present == wanted)
