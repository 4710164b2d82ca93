"""The CloudFormation template: the resources of a deployment, and moto makes a stack of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from asyncfabric import ConfigurationError
from asyncfabric.aws.deploy._archive import Archive
from asyncfabric.aws.deploy._cloud import Cloud
from asyncfabric.aws.deploy._plain import is_fields, is_items
from asyncfabric.aws.deploy._policies import Place, driver_policy, worker_policy
from asyncfabric.aws.deploy._settings import Settings
from asyncfabric.aws.deploy._template import template
from asyncfabric_runtime import PYTHON, WIRE_VERSION
from tests.aws.deploy.conftest import Family

PLACE = Place(
    "numbers",
    "${AWS::Partition}",
    "${AWS::Region}",
    "${AWS::AccountId}",
    "asyncfabric-${AWS::AccountId}-${AWS::Region}",
    "numbers",
)


def _template(**options: Any) -> dict[str, Any]:
    settings = Settings(name="numbers", arch="x86_64", **options)
    whole: dict[str, Any] = json.loads(template(settings))
    return whole


def _properties(whole: dict[str, Any], name: str) -> dict[str, Any]:
    properties: dict[str, Any] = whole["Resources"][name]["Properties"]
    return properties


def _plain(value: Any) -> Any:
    """Without the marks of what CloudFormation fills in."""
    if is_fields(value):
        if [*value] == ["Fn::Sub"]:
            return value["Fn::Sub"]
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if is_items(value) else value


def test_the_resources() -> None:
    whole = _template(memory=(512, 1769))
    kinds = {name: each["Type"] for name, each in whole["Resources"].items()}
    assert kinds == {
        "Bucket": "AWS::S3::Bucket",
        "BucketPolicy": "AWS::S3::BucketPolicy",
        "WorkerRole": "AWS::IAM::Role",
        "DriverPolicy": "AWS::IAM::ManagedPolicy",
        **{f"Worker{memory}": "AWS::Lambda::Function" for memory in (512, 1769)},
        **{f"Worker{memory}Logs": "AWS::Logs::LogGroup" for memory in (512, 1769)},
        **{f"Worker{memory}Events": "AWS::Lambda::EventInvokeConfig" for memory in (512, 1769)},
    }
    assert [*whole["Parameters"]] == ["PackageBucket", "PackageKey"]


def test_the_function() -> None:
    tags = {"team": "numbers"}
    function = _properties(_template(tags=tags, reserved_concurrency=5), "Worker1769")
    assert function["FunctionName"] == (
        f"numbers-w{WIRE_VERSION}-py{PYTHON.replace('.', '')}-x86_64-1769"
    )
    assert function["Handler"] == "asyncfabric_runtime._aws_lambda.handler"
    assert function["Role"] == {"Fn::GetAtt": ["WorkerRole", "Arn"]}
    assert function["ReservedConcurrentExecutions"] == 5
    assert {"Key": "team", "Value": "numbers"} in function["Tags"]


def test_the_policies_are_those_of_a_deployment() -> None:
    whole = _template()
    (policy,) = _properties(whole, "WorkerRole")["Policies"]
    assert _plain(policy["PolicyDocument"]) == worker_policy(PLACE)
    assert _plain(_properties(whole, "DriverPolicy")["PolicyDocument"]) == driver_policy(PLACE)


def test_no_placeholder_is_left_unmarked() -> None:
    text = template(Settings(name="numbers"))
    assert text.count('"Fn::Sub"') == len([line for line in text.splitlines() if "${AWS::" in line])


def test_what_exists_already_is_used() -> None:
    role = "arn:aws:iam::123456789012:role/mine"
    whole = _template(bucket="my-bucket", role_arn=role)
    assert "Bucket" not in whole["Resources"]
    assert "WorkerRole" not in whole["Resources"]
    assert _properties(whole, "Worker1769")["Role"] == role
    assert "s3://my-bucket/numbers" in whole["Outputs"]["Storage"]["Value"]["Fn::Sub"]


def test_an_image() -> None:
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/workers:1"
    whole = _template(image=uri)
    function = _properties(whole, "Worker1769")
    assert (function["PackageType"], function["Code"]) == ("Image", {"ImageUri": uri})
    assert not {"Runtime", "Handler"} & {*function}
    assert "Parameters" not in whole


def test_what_a_template_cannot_do() -> None:
    with pytest.raises(ConfigurationError, match="--layer"):
        _template(requirements=("numpy",))


async def test_a_stack(cloud: Cloud, family: Family, small: Archive, tmp_path: Path) -> None:
    await cloud.call("s3", "create_bucket", Bucket=family.bucket)
    with small.path.open("rb") as file:
        await cloud.call("s3", "put_object", Bucket=family.bucket, Key="worker.zip", Body=file)
    settings = Settings(name=family.name, bucket=family.bucket, arch="x86_64")
    values = {"PackageBucket": family.bucket, "PackageKey": "worker.zip"}
    parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in values.items()]
    await cloud.call(
        "cloudformation",
        "create_stack",
        StackName=family.name,
        TemplateBody=template(settings),
        Parameters=parameters,
        Capabilities=["CAPABILITY_IAM"],
    )
    (stack,) = (await cloud.call("cloudformation", "describe_stacks", StackName=family.name))[
        "Stacks"
    ]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    assert outputs["Storage"] == (
        f"s3://{family.bucket}/{family.name}?region=us-east-1&owner=123456789012"
    )
    (function,) = settings.members
    has = await cloud.call(
        "lambda", "get_function_configuration", FunctionName=function.function_name
    )
    assert has["Runtime"] == f"python{PYTHON}"
