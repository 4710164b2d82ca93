"""Who may do what, and no more than that."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncfabric.aws.deploy._cloud import partition
from asyncfabric.aws.deploy._policies import (
    Document,
    Place,
    bucket_policy,
    driver_policy,
    trust_policy,
    worker_policy,
)
from tests.aws.deploy.evaluation import allows

PLACE = Place("numbers", "aws", "eu-west-1", "123456789012", "my-bucket", "numbers")


POLICIES = Path(__file__).with_name("policies")


@pytest.mark.parametrize(("name", "policy"), [("worker", worker_policy), ("driver", driver_policy)])
def test_the_policies_as_they_are(name: str, policy: Callable[[Place], Document]) -> None:
    """To be read and approved; a change of them is seen as one."""
    text = (POLICIES / f"{name}.json").read_text(encoding="utf-8")
    assert json.dumps(policy(PLACE), indent=2) + "\n" == text


@pytest.mark.parametrize("document", [worker_policy(PLACE), driver_policy(PLACE)])
def test_no_wildcards_in_actions(document: Document) -> None:
    for statement in document["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            assert "*" not in action
            assert action.partition(":")[0] in {"s3", "lambda", "logs"}


# -- decided as AWS does ------------------------------------------------------------------------

AREA = f"jobs/{'a' * 32}"
ACCOUNT = {"aws:ResourceAccount": "123456789012"}
ONCE = {"s3:if-none-match": "*"}


def _may(policy: Document, action: str, key: str, context: dict[str, str]) -> bool:
    resource = f"arn:aws:s3:::my-bucket/{key}"
    return allows(policy, f"s3:{action}", resource, {**ACCOUNT, **context})


def _worker_may(action: str, key: str, *, once: bool = False) -> bool:
    return _may(worker_policy(PLACE), action, f"numbers/{key}", ONCE if once else {})


@pytest.mark.parametrize("record", ["done", "failed"])
def test_a_worker_creates_results_and_replaces_none(record: str) -> None:
    key = f"{AREA}/{record}/000000000007"
    assert _worker_may("PutObject", key, once=True)
    assert not _worker_may("PutObject", key)  # which is also how an upload in parts begins
    assert _worker_may("GetObject", key)


def test_a_worker_has_no_part_in_driving() -> None:
    """It can't forge who drives a job, nor learn where the others' jobs are."""
    places = ["lease/00000001", "inputs/00000000", "inputs/ended", "left/00000001", "finished"]
    for key in ["jobs/names/prices", *(f"{AREA}/{place}" for place in places)]:
        for action in ("GetObject", "PutObject"):
            assert not _worker_may(action, key)
            assert not _worker_may(action, key, once=True)


def test_a_worker_reads_code_and_changes_none() -> None:
    key = f"{AREA}/code/{'0' * 64}"
    assert _worker_may("GetObject", key)
    assert not _worker_may("PutObject", key)
    assert not _worker_may("PutObject", key, once=True)


@pytest.mark.parametrize(
    "key",
    [f"{AREA}/data/{7:012}/{0:032}-{1:032}", "objects/abc", "spill/f/g", "progress/f/1.2", "mine"],
)
def test_what_a_worker_writes(key: str) -> None:
    assert _worker_may("PutObject", key)
    assert _worker_may("GetObject", key)


@pytest.mark.parametrize("key", ["", "mine", f"{AREA}/done/000000000007", "jobs/names/prices"])
def test_a_worker_deletes_and_lists_nothing(key: str) -> None:
    assert not _worker_may("DeleteObject", key)
    assert not _worker_may("DeleteObjectVersion", key)
    for context in ({}, {"s3:prefix": f"numbers/{key}"}):
        bucket = "arn:aws:s3:::my-bucket"
        assert not allows(worker_policy(PLACE), "s3:ListBucket", bucket, {**ACCOUNT, **context})


def test_a_worker_writes_its_own_logs_and_calls_nobody() -> None:
    policy = worker_policy(PLACE)
    logs = "arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda"
    own = f"{logs}/numbers-w1-py311-x86_64-1769:log-stream:2026/11/23/[$LATEST]1"
    assert allows(policy, "logs:PutLogEvents", own, {})
    assert not allows(policy, "logs:PutLogEvents", f"{logs}/others:log-stream:1", {})
    function = "arn:aws:lambda:eu-west-1:123456789012:function:numbers-w1-py311-x86_64-1769"
    assert not allows(policy, "lambda:InvokeFunction", function, {})


def test_what_a_driver_may_do() -> None:
    policy = driver_policy(PLACE)
    for action in ("GetObject", "PutObject", "DeleteObject"):
        assert _may(policy, action, "numbers/jobs/names/prices", {})
        assert not _may(policy, action, "words/jobs/names/prices", {})
    functions = "arn:aws:lambda:eu-west-1:123456789012:function"
    member = f"{functions}:numbers-w1-py311-x86_64-1769"
    assert allows(policy, "lambda:InvokeFunction", member, {})
    assert not allows(policy, "lambda:InvokeFunction", f"{functions}:others", {})
    for action in ("UpdateFunctionCode", "DeleteFunction", "AddPermission"):
        assert not allows(policy, f"lambda:{action}", member, {})
    assert not _may(policy, "PutBucketPolicy", "", {})


def test_a_driver_lists_its_own_objects() -> None:
    bucket = "arn:aws:s3:::my-bucket"
    for prefix, allowed in (("numbers/jobs/", True), ("words/jobs/", False), ("", False)):
        context = {**ACCOUNT, "s3:prefix": prefix}
        assert allows(driver_policy(PLACE), "s3:ListBucket", bucket, context) == allowed
    assert allows(driver_policy(PLACE), "s3:ListBucket", bucket, ACCOUNT)  # that "absent" is said


@pytest.mark.parametrize("document", [worker_policy(PLACE), driver_policy(PLACE)])
def test_in_this_account_only(document: Document) -> None:
    """A bucket whose name another account has taken is neither read nor written."""
    for account in ({}, {"aws:ResourceAccount": "999999999999"}):
        for action in ("GetObject", "PutObject", "DeleteObject"):
            key = "arn:aws:s3:::my-bucket/numbers/mine"
            assert not allows(document, f"s3:{action}", key, {**account, **ONCE})


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
