"""`asyncfabric deploy` against moto's Lambda, IAM, S3 and logs."""

import asyncio
import json
import os
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import DeploymentError
from asyncfabric.aws._family import Member
from asyncfabric.aws.deploy._archive import Archive
from asyncfabric.aws.deploy._bucket import Bucket, lifecycle_rules
from asyncfabric.aws.deploy._cloud import Cloud, Refused
from asyncfabric.aws.deploy._plan import Plan, make_plan, place_of, urls
from asyncfabric.aws.deploy._policies import bucket_policy, trust_policy, worker_policy
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric.aws.deploy._steps import carry_out
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from tests.aws.deploy.conftest import Family, apply, use_package


def _settings(family: Family, **options: Any) -> Settings:
    fixed: dict[str, Any] = {"name": family.name, "bucket": family.bucket, "arch": "x86_64"}
    return Settings(**{**fixed, **options})


async def _deploy(cloud: Cloud, settings: Settings, folder: Path) -> Plan:
    plan = await make_plan(cloud, settings, folder)
    assert not [each for each in await apply(plan.steps) if "not done" in each]
    return plan


def _function(family: Family, memory: int = 1769) -> str:
    return Member(family.name, WIRE_VERSION, PYTHON, "x86_64", memory).function_name


async def test_from_nothing(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    settings = _settings(family, tags={"team": "numbers"})
    plan = await _deploy(cloud, settings, tmp_path)
    name = _function(family)
    assert plan.functions == [name]
    has = await cloud.call("lambda", "get_function", FunctionName=name)
    configuration = has["Configuration"]
    wanted = {
        "Handler": "asyncfabric_runtime._aws_lambda.handler",
        "Runtime": f"python{PYTHON}",
        "Architectures": ["x86_64"],
        "MemorySize": 1769,
        "Timeout": 900,
        "EphemeralStorage": {"Size": 2048},
        "Role": plan.role,
    }
    assert {key: configuration[key] for key in wanted} == wanted
    assert has["Tags"] == {"team": "numbers", "asyncfabric": family.name}
    events = await cloud.call("lambda", "get_function_event_invoke_config", FunctionName=name)
    assert events["MaximumRetryAttempts"] == 0
    (group,) = [
        each
        async for each in cloud.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=f"/aws/lambda/{name}"
        )
    ]
    assert group["retentionInDays"] == 14


async def test_the_role(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    boundary = "arn:aws:iam::123456789012:policy/limits"
    await _deploy(cloud, _settings(family, permissions_boundary=boundary), tmp_path)
    name = f"{family.name}-us-east-1-worker"
    role = (await cloud.call("iam", "get_role", RoleName=name))["Role"]
    assert role["AssumeRolePolicyDocument"] == trust_policy()
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    policies = [
        each
        async for each in cloud.pages("iam", "list_role_policies", "PolicyNames", RoleName=name)
    ]
    assert policies == ["asyncfabric-worker"]
    policy = await cloud.call(
        "iam", "get_role_policy", RoleName=name, PolicyName="asyncfabric-worker"
    )
    assert policy["PolicyDocument"] == worker_policy(place_of(cloud, _settings(family)))


async def test_the_bucket(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    settings = _settings(family, expire_days=7)
    plan = await _deploy(cloud, settings, tmp_path)
    bucket = Bucket(cloud, plan.place)
    block = (await bucket.call("get_public_access_block"))["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(block, True)
    assert len(block) == 4
    ownership = await bucket.call("get_bucket_ownership_controls")
    assert ownership["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    rules = (await bucket.call("get_bucket_lifecycle_configuration"))["Rules"]
    assert {rule["ID"] for rule in rules} == {
        rule["ID"] for rule in lifecycle_rules(family.name, 7)
    }
    days = {rule["Filter"]["Prefix"]: rule.get("Expiration", {}).get("Days") for rule in rules}
    assert days[f"{family.name}/objects/"] == 7
    assert not [prefix for prefix in days if "dependencies" in prefix or "jobs" in prefix]


async def test_the_second_time_there_is_nothing_to_do(
    cloud: Cloud, family: Family, tmp_path: Path
) -> None:
    settings = _settings(
        family, memory=(512, 1769), tags={"team": "numbers"}, reserved_concurrency=3
    )
    await _deploy(cloud, settings, tmp_path)
    assert (await make_plan(cloud, settings, tmp_path)).steps == []


async def test_families_share_a_bucket(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    """The rules of one are kept when the other's are made."""
    settings = _settings(family)
    other = _settings(family, name=f"{family.name}-other")
    await _deploy(cloud, settings, tmp_path)
    await _deploy(cloud, other, tmp_path)
    assert (await make_plan(cloud, settings, tmp_path)).steps == []
    assert (await make_plan(cloud, other, tmp_path)).steps == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 60}, "Timeout"),
        ({"tags": {"team": "words"}}, "tags"),
        ({"reserved_concurrency": 7}, "7 workers at once"),
        ({"log_days": 30}, "30 days"),
        ({"expire_days": 3}, "3 days"),
        ({"permissions_boundary": "arn:aws:iam::123456789012:policy/p"}, "its boundary"),
    ],
)
async def test_only_what_differs_is_changed(
    cloud: Cloud, family: Family, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    await _deploy(cloud, _settings(family), tmp_path)
    changed = _settings(family, **options)
    steps = (await make_plan(cloud, changed, tmp_path)).steps
    assert [step.verb for step in steps] == ["update"] * len(steps)
    assert steps
    assert all(words in str(step) for step in steps if "function" in step.what or len(steps) == 1)
    await apply(steps)
    assert (await make_plan(cloud, changed, tmp_path)).steps == []


async def test_new_code(
    cloud: Cloud, family: Family, tmp_path: Path, small: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _deploy(cloud, _settings(family), tmp_path)
    path = tmp_path / "new.zip"
    path.write_bytes(small.path.read_bytes() + b"\0")
    new = Archive(path, path.stat().st_size, 1, sha256(path.read_bytes()).hexdigest())
    use_package(monkeypatch, new)
    (step,) = (await make_plan(cloud, _settings(family), tmp_path)).steps
    assert str(step).endswith("(its code)")
    await step.run()
    assert (await make_plan(cloud, _settings(family), tmp_path)).steps == []


async def test_a_large_package_goes_through_the_bucket(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncfabric.aws.deploy._function.MOST_DIRECT", 10)
    plan = await _deploy(cloud, _settings(family), tmp_path)
    assert plan.package is not None
    bucket = Bucket(cloud, plan.place)
    assert await bucket.has(f"{family.name}/packages/{plan.package.sha256}.zip")
    assert (await make_plan(cloud, _settings(family), tmp_path)).steps == []


async def test_dependencies(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    settings = _settings(family, requirements=("typing-extensions==4.16.0",))
    plan = await _deploy(cloud, settings, tmp_path)
    assert plan.dependencies is not None
    sha256 = plan.dependencies.archive.sha256
    name = _function(family)
    has = await cloud.call("lambda", "get_function_configuration", FunctionName=name)
    reference = has["Environment"]["Variables"]["ASYNCFABRIC_DEPENDENCIES"]
    assert reference.startswith(f"s3://{family.bucket}/{family.name}/dependencies/{sha256}.zip?")
    assert "owner=123456789012" in reference
    assert reference.endswith(f"#{sha256}")
    assert await Bucket(cloud, plan.place).has(f"{family.name}/dependencies/{sha256}.zip")
    assert (await make_plan(cloud, settings, tmp_path)).steps == []
    (step,) = (await make_plan(cloud, _settings(family), tmp_path)).steps
    assert "loses its packages" in str(step)
    assert await _worker_path(reference, tmp_path) == sha256


async def _worker_path(reference: str, folder: Path) -> str:
    """Return what a worker that is told of these dependencies puts onto its path."""
    root = Path(__file__).parents[3]
    program = (
        "import sys\nfrom asyncfabric_runtime._dependencies import install_dependencies\n"
        "before = {*sys.path}\ninstall_dependencies()\n"
        "(new,) = {*sys.path} - before\nprint(new.rpartition('/')[2])"
    )
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        stdout=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "TMPDIR": str(folder),
            "ASYNCFABRIC_DEPENDENCIES": reference,
            "PYTHONPATH": os.pathsep.join([str(root / "runtime"), str(root / "storage")]),
        },
    )
    printed, _ = await worker.communicate()
    return printed.decode().strip()


async def test_a_role_and_a_bucket_of_others(cloud: Cloud, family: Family, tmp_path: Path) -> None:
    """Both are used as they are; IAM isn't asked for anything."""
    await cloud.call("s3", "create_bucket", Bucket=family.bucket)
    role = await cloud.call(
        "iam",
        "create_role",
        RoleName=family.name,
        AssumeRolePolicyDocument=json.dumps(trust_policy()),
    )
    settings = _settings(family, role_arn=role["Role"]["Arn"])
    plan = await make_plan(cloud, settings, tmp_path)
    assert not [step for step in plan.steps if "bucket" in step.what or "role" in step.what]
    await apply(plan.steps)
    has = await cloud.call("lambda", "get_function_configuration", FunctionName=_function(family))
    assert has["Role"] == role["Role"]["Arn"]


async def test_a_role_that_does_not_exist(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda may not know a new role for a while: it is asked again, but not for ever."""
    monkeypatch.setattr("asyncfabric.aws.deploy._function._ROLE_PATIENCE", 0.2)
    settings = _settings(family, role_arn="arn:aws:iam::123456789012:role/nobody")
    plan = await make_plan(cloud, settings, tmp_path)
    with pytest.raises(DeploymentError, match="CreateFunction"):
        await apply(plan.steps)


async def test_over_tls_only(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the service has TLS; moto has none, and says no to everything from then on."""
    await cloud.client("s3")

    def secure(service: str) -> str:
        return "https://s3.amazonaws.com"

    monkeypatch.setattr(cloud.session, "endpoint", secure)
    bucket = Bucket(cloud, place_of(cloud, _settings(family)))
    steps = await bucket.plan(30, {"asyncfabric": family.name}, named=True)
    (policy,) = [step for step in steps if "TLS" in str(step)]
    sent: list[dict[str, Any]] = []

    async def call(operation: str, **arguments: Any) -> dict[str, Any]:
        sent.append({operation: json.loads(arguments["Policy"])})
        return {}

    monkeypatch.setattr(bucket, "call", call)
    await policy.run()
    assert sent == [{"put_bucket_policy": bucket_policy(bucket._place)}]


@pytest.mark.parametrize(
    ("operation", "code", "words"),
    [
        ("head_bucket", "403", "belongs to another account"),
        ("head_bucket", "301", "another region"),
        ("create_bucket", "BucketAlreadyExists", "belongs to another account"),
    ],
)
async def test_somebody_elses_bucket(
    cloud: Cloud,
    family: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    code: str,
    words: str,
) -> None:
    """Moto doesn't mind who owns a bucket: the answers are S3's, sent by nobody."""
    call = Cloud.call
    asked: list[dict[str, Any]] = []

    async def refusing(self: Cloud, service: str, name: str, **arguments: Any) -> Any:
        if service == "s3":
            asked.append({name: arguments.get("ExpectedBucketOwner")})
        if name == operation:
            raise Refused(name, code, "Forbidden")
        return await call(self, service, name, **arguments)

    monkeypatch.setattr(Cloud, "call", refusing)
    with pytest.raises(DeploymentError, match=f"{words}.*--bucket"):
        await apply((await make_plan(cloud, _settings(family), tmp_path)).steps)
    assert asked[0] == {"head_bucket": "123456789012"}


async def test_every_request_for_the_bucket_names_its_owner(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Cloud.call
    unnamed: set[str] = set()

    async def listening(self: Cloud, service: str, name: str, **arguments: Any) -> Any:
        if service == "s3" and arguments.get("ExpectedBucketOwner") != self.account:
            unnamed.add(name)
        return await call(self, service, name, **arguments)

    monkeypatch.setattr(Cloud, "call", listening)
    settings = _settings(family, requirements=("typing-extensions==4.16.0",))
    await _deploy(cloud, settings, tmp_path)
    await make_plan(cloud, settings, tmp_path)
    assert unnamed == {"create_bucket"}  # which takes none: a new bucket is ours


async def test_denials_of_what_is_optional(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No right to make log groups: the workers are made, and the user is told."""
    _deny(monkeypatch, "logs")
    said: list[str] = []
    warned: list[str] = []
    plan = await make_plan(cloud, _settings(family), tmp_path)
    await carry_out(plan.steps, said.append, warned.append)
    assert len(warned) == 2
    assert all("denied" in each and "log group" in each for each in warned)
    await cloud.call("lambda", "get_function", FunctionName=_function(family))


async def test_denials_of_what_is_needed(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _deny(monkeypatch, "iam")
    with pytest.raises(DeploymentError, match=r"get_role.*AccessDenied.*restricted accounts"):
        await make_plan(cloud, _settings(family), tmp_path)


async def test_a_function_that_lambda_cannot_run(
    cloud: Cloud, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Cloud.call

    async def failing(self: Cloud, service: str, operation: str, **arguments: Any) -> Any:
        answer = await call(self, service, operation, **arguments)
        if operation == "get_function_configuration":
            answer = {**answer, "State": "Failed", "StateReason": "no such image"}
        return answer

    monkeypatch.setattr(Cloud, "call", failing)
    plan = await make_plan(cloud, _settings(family), tmp_path)
    with pytest.raises(DeploymentError, match=r"no such image.*deploy again"):
        await apply(plan.steps)


def _deny(monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    call, pages = Cloud.call, Cloud.pages

    async def denying(self: Cloud, service: str, operation: str, **arguments: Any) -> Any:
        if service == denied:
            raise Refused(operation, "AccessDenied", "not authorized to perform it")
        return await call(self, service, operation, **arguments)

    async def denying_pages(
        self: Cloud, service: str, operation: str, key: str, **arguments: Any
    ) -> Any:
        if service == denied:
            raise Refused(operation, "AccessDenied", "not authorized to perform it")
        async for each in pages(self, service, operation, key, **arguments):
            yield each

    monkeypatch.setattr(Cloud, "call", denying)
    monkeypatch.setattr(Cloud, "pages", denying_pages)


async def test_what_the_user_sets(cloud: Cloud, family: Family) -> None:
    settings = _settings(family, memory=(3538, 512))
    backend, storage = urls(cloud, settings, place_of(cloud, settings))
    assert backend == (
        f"lambda://{family.name}?region=us-east-1&memory=3538&arch=x86_64&endpoint_url={family.url}"
    )
    assert storage == (
        f"s3://{family.bucket}/{family.name}?region=us-east-1&owner=123456789012"
        f"&endpoint_url={family.url}"
    )
