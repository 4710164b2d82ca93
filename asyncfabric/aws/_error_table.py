"""Errors of Lambda's Invoke by what they mean, and what mends those that don't pass."""

from __future__ import annotations

THROTTLES = frozenset(
    {
        "EC2ThrottledException",
        "RequestLimitExceeded",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

# Nobody says when these happened: before the function began, or when its answer was to be sent.
AMBIGUOUS = frozenset(
    {
        "EFSIOException",
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ServiceException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)

# It never began.
TRANSIENT = frozenset(
    {
        "CodeArtifactUserPendingException",
        "EC2UnexpectedException",
        "EFSMountConnectivityException",
        "EFSMountTimeoutException",
        "ENINotReadyException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "S3FilesMountConnectivityException",
        "S3FilesMountTimeoutException",
        "SnapStartNotReadyException",
        "SnapStartRegenerationFailureException",
        "SnapStartTimeoutException",
    }
)

TOO_LARGE = frozenset(
    {
        "RequestEntityTooLargeException",
        "RequestTooLargeException",
        "SerializedRequestEntityTooLargeException",
    }
)

UNREADABLE = frozenset(
    {"InvalidRequestContent", "InvalidRequestContentException", "UnsupportedMediaTypeException"}
)

_KEY = "mend the KMS key of its environment variables, or deploy again without one: {deploy}"
_NETWORK = "mend its VPC configuration, or take the function out of the VPC: {deploy}"
_FILES = "mend the access point and its permissions, or take the file system off the function"

FUNCTION_ADVICE = {
    "CodeArtifactUserDeletedException": "publish the function again: {deploy}",
    "CodeArtifactUserFailedException": "publish the function again: {deploy}",
    "DurableExecutionAlreadyStartedException": "deploy it as an ordinary function: {deploy}",
    "EC2AccessDeniedException": "its role must be allowed to make network interfaces; " + _NETWORK,
    "EFSMountFailureException": _FILES,
    "ENILimitReachedException": "ask AWS for more network interfaces a VPC, or " + _NETWORK,
    "InvalidParameterValueException": "publish the function again: {deploy}",
    "InvalidRuntimeException": "publish it for a runtime that Lambda has: {deploy}",
    "InvalidSecurityGroupIDException": _NETWORK,
    "InvalidSubnetIDException": _NETWORK,
    "InvalidZipFileException": "publish the function again: {deploy}",
    "KMSAccessDeniedException": "allow its role kms:Decrypt, or " + _KEY,
    "KMSDisabledException": _KEY,
    "KMSInvalidStateException": _KEY,
    "KMSNotFoundException": _KEY,
    "ModeNotSupportedException": "publish it as an ordinary function: {deploy}",
    "NoPublishedVersionException": "publish the function again: {deploy}",
    "RecursiveInvocationException": (
        "Lambda took the calls for an endless loop; let workers not invoke their own function, or "
        "allow it: aws lambda put-function-recursion-config --recursive-loop Allow"
    ),
    "S3FilesMountFailureException": _FILES,
    "ServiceQuotaExceededException": (
        "ask for more in the Service Quotas console, or see what is used: {doctor}"
    ),
    "SnapStartException": "switch SnapStart off, or publish the function again: {deploy}",
    "SubnetIPAddressLimitReachedException": "give its subnets more addresses, or " + _NETWORK,
}
"""Terminal: the function can't run as it is configured."""

_CLOCK = "set this machine's clock (is NTP running?); AWS allows 5 minutes"
_SECRET = "check the secret key and the session token: aws sts get-caller-identity"  # noqa: S105

ACCESS_ADVICE = {
    "AccessDenied": "allow these credentials the action lambda:InvokeFunction on {function}; "
    "the policy that a driver needs: {doctor}",
    "ExpiredToken": "renew the credentials (such as 'aws sso login'), then run again",
    "IncompleteSignature": _SECRET,
    "InvalidClientTokenId": "AWS doesn't know the access key: it was deleted, belongs to another "
    "partition, or lacks its session token; see aws sts get-caller-identity",
    "InvalidSignature": _SECRET,
    "MissingAuthenticationToken": "see that the endpoint {endpoint} is Lambda's",
    "OptInRequired": "enable the region {region} for the account, or use another one",
    "RequestExpired": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "SignatureDoesNotMatch": _SECRET,
    "UnrecognizedClient": "AWS doesn't know the access key: it was deleted, belongs to another "
    "partition, lacks its session token, or the region {region} is not enabled; see aws sts "
    "get-caller-identity",
}
"""Terminal: the credentials are not accepted. Names are given without `Exception` at their end."""

REPLACEABLE = frozenset({"ExpiredToken", "InvalidClientTokenId", "UnrecognizedClient"})
"""Those of them that other keys may mend, which somebody may have put in place meanwhile."""

CLOCK_WORDS = ("expired", "not yet current", "skewed")
"""A signature whose refusal says one of these is good, but for the time in it."""
CLOCK_ADVICE = _CLOCK

LIMITS = {
    "CallerRateLimitExceeded": "ask for a higher rate of Invoke requests",
    "ConcurrentInvocationLimitExceeded": "ask for more concurrent executions in the Service "
    "Quotas console, or lower max_concurrency",
    "ConcurrentSnapshotCreateLimitExceeded": "try again later",
    "FunctionInvocationRateLimitExceeded": "put more work into a call, or lower max_concurrency: "
    "a worker is given 10 requests a second",
    "ReservedFunctionConcurrentInvocationLimitExceeded": "the function's reserved concurrency is "
    "used up, or 0; raise it, or lower max_concurrency: {doctor}",
    "ReservedFunctionInvocationRateLimitExceeded": "put more work into a call, or raise the "
    "function's reserved concurrency: {doctor}",
}
"""What to do about a throttle that doesn't end, by its Reason."""
