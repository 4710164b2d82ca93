"""Who may do what: policy documents, as small as they can be.

Every part of an ARN is given, so the documents serve for an account and for a template alike, where
`${AWS::AccountId}` stands for the number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Document = dict[str, Any]

_VERSION = "2012-10-17"
_CREATED = ("done", "failed")
"""What workers create in the area of a durable job, and nobody replaces."""
_DRIVERS_OWN = ("lease/*", "inputs/*", "left/*", "finished")
"""What drivers alone write and read there, besides the manifests below `jobs/names`."""


class Place(NamedTuple):
    """Where a family is."""

    name: str
    partition: str
    region: str
    account: str
    bucket: str
    prefix: str

    @property
    def functions(self) -> str:
        """The ARN of all functions of the family."""
        return f"{self._arn('lambda')}:function:{self.name}-w*-py*"

    @property
    def log_streams(self) -> str:
        """The ARN of all log streams of the family."""
        return f"{self._arn('logs')}:log-group:/aws/lambda/{self.name}-w*-py*:log-stream:*"

    @property
    def bucket_arn(self) -> str:
        """The ARN of the bucket."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def objects(self) -> str:
        """The ARN of all objects of the family."""
        return f"{self.bucket_arn}/{self.prefix}/*"

    def _arn(self, service: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}"


def trust_policy() -> Document:
    """Return who may take the worker's role: Lambda.

    Not narrowed to the functions by `aws:SourceArn`: Lambda tries the role out before a function
    exists.
    """
    return _document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    )


def worker_policy(place: Place) -> Document:
    """Return what a worker may do: write its log, read and write the family's objects.

    It runs whatever code it is sent, so it may spoil nobody's data: it may not delete, and not list
    (it finds only what it was told the name of). Of durable jobs it may read the code, and create
    results where there are none yet. Packages, of which functions are made, it reads. To whoever
    may not list, S3 says "denied" of an object that doesn't exist; workers can live with that.
    """
    jobs = f"{place.bucket_arn}/{place.prefix}/jobs"
    return _document(
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": place.log_streams,
        },
        _objects(place, ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]),
        {
            "Sid": "ResultsOnce",
            "Effect": "Deny",
            "Action": "s3:PutObject",
            "Resource": [f"{jobs}/*/{part}/*" for part in _CREATED],
            "Condition": {"Null": {"s3:if-none-match": "true"}},
        },
        {
            "Sid": "CodeOfJobs",
            "Effect": "Deny",
            "Action": "s3:PutObject",
            "Resource": f"{jobs}/*/code/*",
        },
        {
            "Sid": "Packages",
            "Effect": "Deny",
            "Action": "s3:PutObject",
            "Resource": f"{place.bucket_arn}/{place.prefix}/packages/*",
        },
        {
            "Sid": "DriversOnly",
            "Effect": "Deny",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [f"{jobs}/names/*", *(f"{jobs}/*/{part}" for part in _DRIVERS_OWN)],
        },
    )


def driver_policy(place: Place) -> Document:
    """Return what a driver may do: call the workers, and read, write and delete their objects.

    It lists them too: jobs and their results, heartbeats. `Look` is for advice only: doctor and
    error messages say less without it.
    """
    return _document(
        {
            "Sid": "Call",
            "Effect": "Allow",
            "Action": "lambda:InvokeFunction",
            "Resource": place.functions,
        },
        _objects(
            place,
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
        ),
        _names(place),
        {
            "Sid": "Look",
            "Effect": "Allow",
            "Action": ["lambda:GetFunctionConfiguration", "lambda:GetFunctionConcurrency"],
            "Resource": place.functions,
        },
        {
            "Sid": "LookAround",  # these take no resource
            "Effect": "Allow",
            "Action": ["lambda:GetAccountSettings", "lambda:ListFunctions"],
            "Resource": "*",
        },
    )


def bucket_policy(place: Place) -> Document:
    """Return what nobody may do with a bucket of ours: reach it without TLS."""
    return _document(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [place.bucket_arn, f"{place.bucket_arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def _document(*statements: Document) -> Document:
    return {"Version": _VERSION, "Statement": list(statements)}


def _objects(place: Place, actions: list[str]) -> Document:
    return {
        "Sid": "Objects",
        "Effect": "Allow",
        "Action": actions,
        "Resource": place.objects,
        # Should the bucket be deleted and its name be taken by another account.
        "Condition": {"StringEquals": {"aws:ResourceAccount": place.account}},
    }


def _names(place: Place) -> Document:
    """Allow listing the family's objects.

    Without it S3 says "denied" for an object that doesn't exist, which a driver has to know. That
    check has no prefix in its context, hence IfExists; the price is that the names of other objects
    of the bucket can be listed (not read).
    """
    return {
        "Sid": "Names",
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": place.bucket_arn,
        "Condition": {
            "StringEquals": {"aws:ResourceAccount": place.account},
            "StringLikeIfExists": {"s3:prefix": f"{place.prefix}/*"},
        },
    }
