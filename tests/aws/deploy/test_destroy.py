"""`asyncfabric destroy` against moto."""

from pathlib import Path

import pytest

from asyncfabric import DeploymentError
from asyncfabric.aws._family import Member
from asyncfabric.aws.deploy._bucket import Bucket
from asyncfabric.aws.deploy._cloud import Cloud
from asyncfabric.aws.deploy._destroy import members, plan_destroy
from asyncfabric.aws.deploy._plan import make_plan
from asyncfabric.aws.deploy._policies import Place
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from tests.aws.deploy.conftest import Family, apply


@pytest.fixture
async def deployed(cloud: Cloud, family: Family, tmp_path: Path) -> Place:
    settings = Settings(name=family.name, bucket=family.bucket, arch="x86_64")
    plan = await make_plan(cloud, settings, tmp_path)
    await apply(plan.steps)
    return plan.place


async def _present(cloud: Cloud, family: Family) -> set[str]:
    """What there is of a family but its bucket."""
    steps = await plan_destroy(cloud, family.name, bucket=family.bucket)
    return {step.what.partition(" ")[0] for step in steps}


async def test_all_of_it(cloud: Cloud, family: Family, deployed: Place) -> None:
    steps = await plan_destroy(cloud, family.name, bucket=family.bucket)
    assert await _present(cloud, family) == {"function", "log", "role"}
    await apply(steps)
    assert await plan_destroy(cloud, family.name, bucket=family.bucket) == []
    await apply(steps)  # what is gone already is no error
    assert await Bucket(cloud, deployed).exists()


async def test_the_objects(cloud: Cloud, family: Family, deployed: Place) -> None:
    """Former versions too; what is another's stays."""
    bucket = Bucket(cloud, deployed)
    await bucket.call("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"})
    for _ in range(2):
        await bucket.call("put_object", Key=f"{family.name}/objects/1", Body=b"x")
    await bucket.call("delete_object", Key=f"{family.name}/objects/1")
    await bucket.call("put_object", Key=f"{family.name}-other/objects/1", Body=b"x")
    with pytest.raises(DeploymentError, match="holds other things"):
        await plan_destroy(cloud, family.name, bucket=family.bucket, bucket_too=True)
    await apply(await plan_destroy(cloud, family.name, bucket=family.bucket, contents=True))
    versions = await bucket.call("list_object_versions")
    assert [each["Key"] for each in versions["Versions"]] == [f"{family.name}-other/objects/1"]
    assert "DeleteMarkers" not in versions
    again = await plan_destroy(cloud, family.name, bucket=family.bucket, contents=True)
    assert again == []


async def test_many_objects(
    cloud: Cloud, family: Family, deployed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listings come in pages, and so do deletions."""
    monkeypatch.setattr("asyncfabric.aws.deploy._destroy._PAGE", 2)
    bucket = Bucket(cloud, deployed)
    for number in range(8):
        await bucket.call("put_object", Key=f"{family.name}/objects/{number}", Body=b"x")
    await apply(await plan_destroy(cloud, family.name, bucket=family.bucket, bucket_too=True))
    assert not await bucket.exists()


async def test_a_bucket_of_others_stays(cloud: Cloud, family: Family) -> None:
    await cloud.call("s3", "create_bucket", Bucket=family.bucket)
    with pytest.raises(DeploymentError, match="wasn't made by asyncfabric"):
        await plan_destroy(cloud, family.name, bucket=family.bucket, bucket_too=True)


async def test_what_this_driver_cannot_use(cloud: Cloud, family: Family, deployed: Place) -> None:
    """Other memory sizes and architectures stay: this driver can use them."""
    role = f"arn:aws:iam::123456789012:role/{family.name}-us-east-1-worker"
    kept = Member(family.name, WIRE_VERSION, PYTHON, "arm64", 512)
    old = Member(family.name, WIRE_VERSION, "3.9", "x86_64", 1769)
    stranger = Member(f"{family.name}-other", 99, "3.9", "x86_64", 1769)
    for each in (kept, old, stranger):
        await cloud.call(
            "lambda",
            "create_function",
            FunctionName=each.function_name,
            Role=role,
            Runtime="python3.9",
            Handler="a.b",
            Code={"ZipFile": b"PK"},
        )
    steps = await plan_destroy(cloud, family.name, unused=True)
    assert [step.what for step in steps] == [f"function {old.function_name}"]
    await apply(steps)
    assert [each.memory for each in await members(cloud, family.name)] == [512, 1769]
    assert len(await members(cloud, stranger.name)) == 1
    await cloud.call("lambda", "delete_function", FunctionName=stranger.function_name)
