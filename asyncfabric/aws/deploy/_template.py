"""The same resources as a CloudFormation template, for accounts where only that may make them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError

from ._bucket import OURS, lifecycle_rules
from ._function import EVENT_AGE, HANDLER, environment
from ._logs import log_group
from ._plain import is_fields, is_items
from ._policies import Place, bucket_policy, driver_policy, trust_policy, worker_policy
from ._role import POLICY

if TYPE_CHECKING:
    from asyncfabric.aws._family import Member

    from ._settings import Settings

_ACCOUNT, _REGION, _PARTITION = "${AWS::AccountId}", "${AWS::Region}", "${AWS::Partition}"


def template(settings: Settings) -> str:
    """Return the template as JSON (which is YAML too). AWS is not asked for anything.

    It has parameters for where the worker's zip is (`--package FILE` writes that), and outputs with
    the two URLs that a driver needs.

    Raises:
        ConfigurationError: for `requirements`, which a template can't upload.
    """
    if settings.requirements:
        msg = "a template can't upload --requirements; give them as --layer or in an --image"
        raise ConfigurationError(msg)
    bucket = settings.bucket or f"asyncfabric-{_ACCOUNT}-{_REGION}"
    place = Place(settings.name, _PARTITION, _REGION, _ACCOUNT, bucket, settings.prefix)
    resources: dict[str, Any] = {}
    if settings.bucket is None:
        resources |= _bucket(settings, place)
    if settings.role_arn is None:
        resources["WorkerRole"] = _role(settings, place)
    for member in settings.members:
        resources |= _function(settings, member)
    resources["DriverPolicy"] = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": f"What a driver of asyncfabric needs, family {settings.name}",
            "PolicyDocument": driver_policy(place),
        },
    }
    whole: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Workers of asyncfabric, family {settings.name}",
        "Parameters": _parameters() if settings.image is None else {},
        "Resources": resources,
        "Outputs": _outputs(settings, place),
    }
    if not whole["Parameters"]:
        del whole["Parameters"]
    return json.dumps(_substituted(whole), indent=2) + "\n"


def _parameters() -> dict[str, Any]:
    return {
        "PackageBucket": {
            "Type": "String",
            "Description": "Bucket in this region with the worker's zip",
        },
        "PackageKey": {"Type": "String", "Description": "Key of the worker's zip there"},
    }


def _bucket(settings: Settings, place: Place) -> dict[str, Any]:
    rules = [
        {
            "Id": rule["ID"].replace("/", "-"),
            "Status": rule["Status"],
            "Prefix": rule["Filter"]["Prefix"],
            **({"ExpirationInDays": rule["Expiration"]["Days"]} if "Expiration" in rule else {}),
            **(
                {"AbortIncompleteMultipartUpload": rule["AbortIncompleteMultipartUpload"]}
                if "AbortIncompleteMultipartUpload" in rule
                else {}
            ),
        }
        for rule in lifecycle_rules(settings.prefix, settings.expire_days)
    ]
    return {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": {
                "BucketName": place.bucket,
                "PublicAccessBlockConfiguration": {
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
                "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [
                        {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
                    ]
                },
                "LifecycleConfiguration": {"Rules": rules},
                "Tags": _tags(settings),
            },
        },
        "BucketPolicy": {
            "Type": "AWS::S3::BucketPolicy",
            "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": bucket_policy(place)},
        },
    }


def _role(settings: Settings, place: Place) -> dict[str, Any]:
    boundary = settings.permissions_boundary
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": trust_policy(),
            "Policies": [{"PolicyName": POLICY, "PolicyDocument": worker_policy(place)}],
            **({"PermissionsBoundary": boundary} if boundary else {}),
            "Tags": _tags(settings),
        },
    }


def _function(settings: Settings, member: Member) -> dict[str, Any]:
    name = f"Worker{member.memory}"
    group = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {
            "LogGroupName": log_group(member.function_name),
            "RetentionInDays": settings.log_days,
        },
    }
    properties: dict[str, Any] = {
        "FunctionName": member.function_name,
        "Description": f"Worker of asyncfabric, family {settings.name}",
        "Role": settings.role_arn or {"Fn::GetAtt": ["WorkerRole", "Arn"]},
        "Architectures": [settings.arch],
        "MemorySize": member.memory,
        "Timeout": settings.timeout,
        "EphemeralStorage": {"Size": settings.ephemeral_storage},
        "Tags": _tags(settings),
    }
    if settings.image is not None:
        properties |= {"PackageType": "Image", "Code": {"ImageUri": settings.image}}
    else:
        properties |= {
            "Runtime": settings.target.runtime,
            "Handler": HANDLER,
            "Code": {"S3Bucket": {"Ref": "PackageBucket"}, "S3Key": {"Ref": "PackageKey"}},
        }
    if settings.serve:
        properties["Environment"] = {"Variables": environment(None, settings.serve)}
    if settings.layers:
        properties["Layers"] = list(settings.layers)
    if settings.reserved_concurrency is not None:
        properties["ReservedConcurrentExecutions"] = settings.reserved_concurrency
    function = {
        "Type": "AWS::Lambda::Function",
        "DependsOn": [f"{name}Logs"],
        "Properties": properties,
    }
    events = {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": name},
            "Qualifier": "$LATEST",
            "MaximumRetryAttempts": 0,
            "MaximumEventAgeInSeconds": EVENT_AGE,
        },
    }
    return {name: function, f"{name}Logs": group, f"{name}Events": events}


def _outputs(settings: Settings, place: Place) -> dict[str, Any]:
    largest = settings.members[-1]
    backend = (
        f"lambda://{settings.name}?region={_REGION}&memory={largest.memory}&arch={largest.arch}"
    )
    storage = f"s3://{place.bucket}/{place.prefix}?region={_REGION}&owner={_ACCOUNT}"
    return {
        "Backend": {"Description": "ASYNCFABRIC_BACKEND", "Value": backend},
        "Storage": {"Description": "ASYNCFABRIC_STORAGE", "Value": storage},
        "DriverPolicy": {
            "Description": "Policy to attach to whoever runs drivers",
            "Value": {"Ref": "DriverPolicy"},
        },
    }


def _tags(settings: Settings) -> list[dict[str, str]]:
    tags = {**settings.tags, OURS: settings.name}
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def _substituted(value: Any) -> Any:  # noqa: ANN401 - plain data
    """Mark every string with a `${}` in it as one that CloudFormation fills in."""
    if is_fields(value):
        return {key: _substituted(each) for key, each in value.items()}
    if is_items(value):
        return [_substituted(each) for each in value]
    if isinstance(value, str) and "${AWS::" in value:
        return {"Fn::Sub": value}
    return value
