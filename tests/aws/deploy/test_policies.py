"""Who may do what, and no more than that."""

from typing import Any

import pytest

from asyncfabric.aws.deploy._cloud import partition
from asyncfabric.aws.deploy._policies import (
    Place,
    bucket_policy,
    driver_policy,
    trust_policy,
    worker_policy,
)

PLACE = Place("numbers", "aws", "eu-west-1", "123456789012", "my-bucket", "numbers")


def _actions(document: dict[str, Any]) -> dict[str, list[str]]:
    """Actions by resource."""
    found: dict[str, list[str]] = {}
    for statement in document["Statement"]:
        actions = statement["Action"]
        found.setdefault(statement["Resource"], []).extend(
            [actions] if isinstance(actions, str) else actions
        )
    return found


def test_what_a_worker_may_do() -> None:
    logs = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/numbers-w*-py*:log-stream:*"
    assert _actions(worker_policy(PLACE)) == {
        logs: ["logs:CreateLogStream", "logs:PutLogEvents"],
        "arn:aws:s3:::my-bucket/numbers/*": [
            "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload",
        ],
        "arn:aws:s3:::my-bucket": ["s3:ListBucket"],
    }  # fmt: skip


def test_what_a_driver_may_do() -> None:
    functions = "arn:aws:lambda:eu-west-1:123456789012:function:numbers-w*-py*"
    assert _actions(driver_policy(PLACE)) == {
        functions: [
            "lambda:InvokeFunction",
            "lambda:GetFunctionConfiguration",
            "lambda:GetFunctionConcurrency",
        ],
        "arn:aws:s3:::my-bucket/numbers/*": [
            "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
        ],
        "arn:aws:s3:::my-bucket": ["s3:ListBucket"],
        "*": ["lambda:GetAccountSettings", "lambda:ListFunctions"],
    }  # fmt: skip


@pytest.mark.parametrize("document", [worker_policy(PLACE), driver_policy(PLACE)])
def test_in_this_account_only(document: dict[str, Any]) -> None:
    """A bucket whose name another account has taken is not written to."""
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        if "s3:::" in statement["Resource"]:
            owner = statement["Condition"]["StringEquals"]
            assert owner == {"aws:ResourceAccount": "123456789012"}


@pytest.mark.parametrize("document", [worker_policy(PLACE), driver_policy(PLACE)])
def test_no_wildcards_in_actions(document: dict[str, Any]) -> None:
    for actions in _actions(document).values():
        assert not [action for action in actions if "*" in action or action.startswith("iam:")]


def test_only_its_own_objects_are_listed() -> None:
    (names,) = [each for each in worker_policy(PLACE)["Statement"] if each["Sid"] == "Names"]
    assert names["Condition"]["StringLikeIfExists"] == {"s3:prefix": "numbers/*"}


def test_only_lambda_takes_the_role() -> None:
    (statement,) = trust_policy()["Statement"]
    assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


def test_nobody_gets_in_without_tls() -> None:
    (statement,) = bucket_policy(PLACE)["Statement"]
    assert statement["Effect"] == "Deny"
    assert statement["Principal"] == "*"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["arn:aws:s3:::my-bucket", "arn:aws:s3:::my-bucket/*"]


@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"),
        ("us-iso-east-1", "aws-iso"), ("us-isob-east-1", "aws-iso-b"), ("us-east-1", "aws"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)  # fmt: skip
def test_parts_of_aws(region: str, name: str) -> None:
    assert partition(region) == name
    moved = PLACE._replace(partition=name)
    assert moved.bucket_arn == f"arn:{name}:s3:::my-bucket"
