"""`asyncfabric deploy` where something is there already: half made, of others, or just now."""

import json
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import DeploymentError
from asyncfabric.aws._family import Member
from asyncfabric.aws.deploy._archive import Archive
from asyncfabric.aws.deploy._bucket import Bucket
from asyncfabric.aws.deploy._cloud import Cloud, Refused
from asyncfabric.aws.deploy._destroy import plan_destroy
from asyncfabric.aws.deploy._plan import make_plan, place_of
from asyncfabric.aws.deploy._policies import bucket_policy
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from tests.aws.deploy.conftest import Family, apply


def _settings(family: Family, **options: Any) -> Settings:
    fixed: dict[str, Any] = {"name": family.name, "bucket": family.bucket, "arch": "x86_64"}
    return Settings(**{**fixed, **options})


def _denying(call: Any, denied: str) -> Any:
    async def denying(*arguments: Any, **options: Any) -> Any:
        if denied in arguments:
            raise Refused(denied, "AccessDenied", "no")
        return await call(*arguments, **options)

    return denying


async def test_a_bucket_whose_making_was_cut_off(
    cloud: Cloud, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the family's own name, and without its mark: it is made ours, and private."""
    await cloud.call("s3", "create_bucket", Bucket=family.bucket)
    bucket = Bucket(cloud, place_of(cloud, _settings(family)))
    tags = {"asyncfabric": family.name}
    assert await bucket.plan(30, tags, named=True) == []
    with monkeypatch.context() as patch:
        patch.setattr(bucket, "call", _denying(bucket.call, "get_bucket_tagging"))
        assert await bucket.plan(30, tags, named=False) == []
    said = await apply(await bucket.plan(30, tags, named=False))
    assert any("public access" in each for each in said)
    assert await bucket.is_ours()
    assert await bucket.plan(30, tags, named=False) == []


async def test_a_bucket_that_cannot_be_marked_is_not_left_open(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bucket, "call", _denying(Bucket.call, "put_bucket_tagging"))
    for _ in range(2):  # the second time it is no stranger's bucket, either
        plan = await make_plan(cloud, _settings(family), tmp_path)
        with pytest.raises(DeploymentError, match="put_bucket_tagging"):
            await apply(plan.steps)


async def test_what_others_added_to_the_policy_of_the_bucket_stays(
    cloud: Cloud, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cloud.client("s3")

    def secure(_: str) -> str:
        return "https://s3.amazonaws.com"

    monkeypatch.setattr(cloud.session, "endpoint", secure)
    bucket = Bucket(cloud, place_of(cloud, _settings(family)))
    policy = bucket_policy(bucket._place)
    other = {"Sid": "Audit", "Effect": "Deny", "Principal": "*", "Action": "s3:PutBucketAcl"}
    outdated: dict[str, Any] = {**policy["Statement"][0], "Resource": []}
    present: list[Any] = [other, outdated]

    async def call(operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "put_bucket_policy":
            present[:] = json.loads(arguments["Policy"])["Statement"]
        return {"Policy": json.dumps({**policy, "Statement": present})}

    monkeypatch.setattr(bucket, "call", call)
    (step,) = await bucket._plan_policy(fresh=False)
    await step.run()
    assert present == [other, policy["Statement"][0]]
    assert await bucket._plan_policy(fresh=False) == []


async def test_a_role_of_others_is_left_alone(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    """Neither may it be taken over by deploying, nor deleted by destroying."""
    name = f"{family.name}-us-east-1-worker"
    trust: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}
    document = json.dumps(trust)
    await cloud.call("iam", "create_role", RoleName=name, AssumeRolePolicyDocument=document)
    with pytest.raises(DeploymentError, match=r"hasn't made it.*--role-arn arn:.*--name"):
        await make_plan(cloud, _settings(family), tmp_path)
    assert await plan_destroy(cloud, family.name, bucket=family.bucket) == []
    role = (await cloud.call("iam", "get_role", RoleName=name))["Role"]
    assert role["AssumeRolePolicyDocument"] == trust


async def test_two_who_deploy_at_the_same_time(
    cloud: Cloud, family: Family, tmp_path: Path, small: Archive
) -> None:
    """The later one finds a function where there was none when it looked."""
    slow = await make_plan(cloud, _settings(family, timeout=300), tmp_path)
    fast = await make_plan(cloud, _settings(family), tmp_path)
    await apply(fast.steps)
    create = [step for step in slow.steps if step.what.startswith("function ")]
    await apply(create)
    name = Member(family.name, WIRE_VERSION, PYTHON, "x86_64", 1769).function_name
    has = await cloud.call("lambda", "get_function_configuration", FunctionName=name)
    assert has["Timeout"] == 300


async def test_jobs_expired_once(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    """The rule that earlier versions made would take the manifest of a job under way."""
    settings = _settings(family)
    plan = await make_plan(cloud, settings, tmp_path)
    await apply(plan.steps)
    bucket = Bucket(cloud, plan.place)
    rules = (await bucket.call("get_bucket_lifecycle_configuration"))["Rules"]
    jobs, mine = (
        dict[str, Any](
            ID=f"{family.name}{part}",
            Status="Enabled",
            Filter={"Prefix": f"{family.name}{part}/"},
            Expiration={"Days": 30},
        )
        for part in ("/jobs", "-mine")
    )
    await bucket.call(
        "put_bucket_lifecycle_configuration",
        LifecycleConfiguration={"Rules": [*rules, jobs, mine]},
    )
    await apply((await make_plan(cloud, settings, tmp_path)).steps)
    kept = (await bucket.call("get_bucket_lifecycle_configuration"))["Rules"]
    assert {rule["ID"] for rule in kept} == {rule["ID"] for rule in [*rules, mine]}
