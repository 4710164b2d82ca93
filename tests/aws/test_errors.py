"""What replies of Lambda mean: one test for each row of its errors."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfabric import (
    AttemptTimeout,
    ConfigurationError,
    DeploymentError,
    FabricError,
    InvocationError,
    PayloadTooLarge,
    Throttled,
)
from asyncfabric.aws._errors import diagnose
from asyncfabric.aws._sdk import load
from asyncfabric.aws.transport import Reply, Unanswered
from asyncfabric.aws.transport._protocol import Why
from tests.aws.replies import ENDPOINT, FUNCTION, KINDS, REGION, REQUEST, found, refused

# good replies


@pytest.mark.parametrize("body", [b'"eA=="', b'""', b'{"asyncfabric": "refused"}', b' "x"\n'])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_a_json_string_or_object_is_a_good_reply(body: bytes, kind: type[bytes]) -> None:
    reply = Reply(200, {}, kind(body))
    assert diagnose(reply, function=FUNCTION, region=REGION, endpoint=ENDPOINT) is None


def test_events_are_taken_and_not_answered() -> None:
    where = {"function": FUNCTION, "region": REGION, "endpoint": ENDPOINT}
    assert diagnose(Reply(202, {}, b""), event=True, **where) is None
    for reply, event in ((Reply(200, {}, b'"x"'), True), (Reply(202, {}, b""), False)):
        fault = diagnose(reply, event=event, **where)
        assert fault is not None
        assert fault.kind == "terminal"
    throttled = refused(429, "TooManyRequestsException")
    fault = diagnose(throttled, event=True, **where)
    assert fault is not None
    assert fault.kind == "throttle"


# throttles

REASONS = {
    "ConcurrentInvocationLimitExceeded": "Service Quotas",
    "FunctionInvocationRateLimitExceeded": "10 requests a second",
    "ReservedFunctionConcurrentInvocationLimitExceeded": "reserved concurrency is used up, or 0",
    "ReservedFunctionInvocationRateLimitExceeded": "reserved concurrency",
    "CallerRateLimitExceeded": "rate of Invoke",
    "ConcurrentSnapshotCreateLimitExceeded": "later",
}


@pytest.mark.parametrize("reason", REASONS)
def test_throttles_have_a_reason_and_a_time(reason: str) -> None:
    reply = refused(429, "TooManyRequestsException", Reason=reason, retryAfterSeconds="7")
    fault = found(reply)
    assert (fault.kind, fault.code, fault.reason) == (
        "throttle",
        "TooManyRequestsException",
        reason,
    )
    assert fault.retry_after == 7
    assert fault.request_id == REQUEST
    assert type(fault.error) is Throttled
    for part in (reason, REQUEST, FUNCTION, REASONS[reason]):
        assert part in fault.message


def test_every_reason_that_the_sdk_knows_has_its_advice() -> None:
    model = load("botocore.session").get_session().get_service_model("lambda")
    assert set(REASONS) == set(model.shape_for("ThrottleReason").enum)


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [
        ("3", {}, 3.0),
        ("1.5", {"retryAfterSeconds": "9"}, 1.5),
        (None, {"retryAfterSeconds": 2}, 2.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {"retryAfterSeconds": "4"}, 4.0),
        ("-1", {}, None),
        ("inf", {"retryAfterSeconds": "nan"}, None),
        (None, {"retryAfterSeconds": [1]}, None),
        (None, {}, None),
    ],
)
def test_retry_after(header: str | None, body: dict[str, object], seconds: float | None) -> None:
    reply = refused(429, "TooManyRequestsException", **body)
    if header is not None:
        reply.headers["retry-after"] = header
    assert found(reply).retry_after == seconds


def test_throttles_by_other_names() -> None:
    assert found(refused(502, "EC2ThrottledException")).kind == "throttle"
    assert found(refused(400, "ThrottlingException")).kind == "throttle"
    assert found(Reply(429, {}, b"slow down")).kind == "throttle"


# errors with a name

TRANSIENT = """EC2UnexpectedException:502 ENINotReadyException:502
    ResourceNotReadyException:502 SnapStartNotReadyException:409 SnapStartTimeoutException:408
    SnapStartRegenerationFailureException:409 ResourceConflictException:409
    CodeArtifactUserPendingException:409 EFSMountTimeoutException:408
    EFSMountConnectivityException:408 S3FilesMountTimeoutException:408
    S3FilesMountConnectivityException:408"""
AMBIGUOUS = """ServiceException:500 InternalFailure:500 InternalError:500 InternalServerError:500
    ServiceUnavailable:503 ServiceUnavailableException:503 EFSIOException:410"""
TERMINAL = """KMSAccessDeniedException:502 KMSDisabledException:502 KMSInvalidStateException:502
    KMSNotFoundException:502 InvalidZipFileException:502 InvalidRuntimeException:502
    InvalidSubnetIDException:502 InvalidSecurityGroupIDException:502
    SubnetIPAddressLimitReachedException:502 ENILimitReachedException:502
    EC2AccessDeniedException:502 ResourceNotFoundException:404 ServiceQuotaExceededException:402
    RecursiveInvocationException:400 CodeArtifactUserDeletedException:409
    CodeArtifactUserFailedException:409 NoPublishedVersionException:400
    InvalidParameterValueException:400 SnapStartException:400 ModeNotSupportedException:400
    EFSMountFailureException:403 S3FilesMountFailureException:403
    DurableExecutionAlreadyStartedException:409"""


@pytest.mark.parametrize(
    ("kind", "row"),
    [("transient", row) for row in TRANSIENT.split()]
    + [("ambiguous", row) for row in AMBIGUOUS.split()],
)
def test_errors_that_pass(kind: str, row: str) -> None:
    code, _, status = row.partition(":")
    fault = found(refused(int(status), code, message="for a moment"))
    assert (fault.kind, fault.code) == (kind, code)
    assert type(fault.error) is InvocationError
    assert "for a moment" in fault.message


@pytest.mark.parametrize("row", TERMINAL.split())
def test_errors_of_the_function_as_it_is_configured(row: str) -> None:
    code, _, status = row.partition(":")
    fault = found(refused(int(status), code, Message="said so"))
    assert (fault.kind, fault.code) == ("terminal", code)
    assert type(fault.error) is DeploymentError
    for part in (code, "said so", FUNCTION, REGION, REQUEST):
        assert part in fault.message
    assert "{" not in fault.message


def test_a_missing_function_names_the_command_that_makes_it() -> None:
    message = found(refused(404, "ResourceNotFoundException")).message
    assert f"there is no function {FUNCTION} in {REGION}" in message
    assert f"asyncfabric deploy --region {REGION}" in message


@pytest.mark.parametrize("code", ["RequestTooLargeException", "RequestEntityTooLargeException"])
def test_payloads_that_are_too_large(code: str) -> None:
    fault = found(refused(413, code))
    assert fault.kind == "payload"
    assert type(fault.error) is PayloadTooLarge
    assert "storage=" in fault.message
    assert found(Reply(413, {}, b"<html>")).kind == "payload"


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "InvalidRequestContentException"), (415, "UnsupportedMediaTypeException")],
)
def test_payloads_that_lambda_cannot_read(status: int, code: str) -> None:
    assert found(refused(status, code)).kind == "payload"


def test_every_error_that_the_sdk_knows_is_known_here() -> None:
    service = load("botocore.session").get_session().get_service_model("lambda")
    for shape in service.operation_model("Invoke").error_shapes:
        status = shape.metadata["error"]["httpStatusCode"]
        fault = found(refused(status, shape.name))
        assert fault.kind in KINDS - {"function"}, shape.name
        assert "refuses to run" not in fault.message, shape.name


@pytest.mark.parametrize("name", ["__type", "code"])
def test_names_of_errors_in_the_body(name: str) -> None:
    body = {name: "com.amazonaws.lambda#ResourceConflictException"}
    assert found(Reply(409, {}, json.dumps(body).encode())).code == "ResourceConflictException"


# credentials

ACCESS = [
    ("AccessDeniedException", "is not authorized to perform", "lambda:InvokeFunction"),
    ("ExpiredTokenException", "The security token included is expired", "renew the credentials"),
    ("InvalidSignatureException", "Signature expired: 2026 is now earlier", "clock"),
    ("InvalidSignatureException", "Signature not yet current", "clock"),
    ("InvalidSignatureException", "The request signature does not match", "secret key"),
    ("SignatureDoesNotMatch", "", "secret key"),
    ("RequestExpired", "", "clock"),
    ("UnrecognizedClientException", "The security token is invalid", "access key"),
    ("InvalidClientTokenId", "", "access key"),
    ("MissingAuthenticationTokenException", "", ENDPOINT),
    ("IncompleteSignatureException", "", "secret key"),
    ("OptInRequired", "", f"enable the region {REGION}"),
]


@pytest.mark.parametrize(("code", "text", "advice"), ACCESS)
def test_credentials_that_are_refused(code: str, text: str, advice: str) -> None:
    fault = found(refused(403, code, message=text))
    assert (fault.kind, fault.code) == ("terminal", code)
    assert type(fault.error) is ConfigurationError
    assert advice in fault.message
    assert text in fault.message
    assert REQUEST in fault.message


# endpoints that aren't Lambda


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (200, {"content-type": "text/html"}, b"<html>hello</html>"),
        (200, {}, b""),
        (404, {"content-type": "text/html"}, b"<html>not found</html>"),
        (404, {}, b'{"detail": "Not Found"}'),
        (301, {"location": "https://example.com"}, b""),
        (403, {}, b"forbidden"),
        (405, {}, b""),
        (200, {}, b"null"),
    ],
)
def test_an_endpoint_that_is_not_lambda(status: int, headers: dict[str, str], body: bytes) -> None:
    fault = found(Reply(status, headers, body))
    assert fault.kind == "terminal"
    assert type(fault.error) is ConfigurationError
    assert f"{ENDPOINT} is not Lambda" in fault.message
    assert "AWS_ENDPOINT_URL" in fault.message


@pytest.mark.parametrize("body", [b"null", b"12", b"[1]", b"plain"])
def test_a_function_that_is_none_of_ours(body: bytes) -> None:
    fault = found(Reply(200, {"x-amzn-requestid": REQUEST}, body))
    assert fault.kind == "terminal"
    assert type(fault.error) is DeploymentError
    assert body.decode() in fault.message
    assert "asyncfabric deploy" in fault.message


def test_errors_of_a_gateway_may_have_come_after_the_function_began() -> None:
    for status in (408, 500, 502, 503, 504):
        fault = found(Reply(status, {}, b"<html>bad gateway</html>"))
        assert (fault.kind, fault.code) == ("ambiguous", str(status))
        assert type(fault.error) is InvocationError


def test_other_refusals_of_lambda_are_shown() -> None:
    fault = found(Reply(418, {"x-amzn-requestid": REQUEST}, b'{"message": "a teapot"}'))
    assert fault.kind == "terminal"
    assert "a teapot" in fault.message


# no reply

UNANSWERED: list[tuple[Why, bool, str, type[FabricError], str]] = [
    ("connect", False, "transient", InvocationError, ENDPOINT),
    ("dns", False, "transient", InvocationError, ENDPOINT),
    ("lost", True, "ambiguous", InvocationError, ENDPOINT),
    ("lost", False, "transient", InvocationError, ENDPOINT),
    ("timeout", True, "ambiguous", AttemptTimeout, "timeout="),
    ("closed", True, "ambiguous", InvocationError, "Fabric"),
    ("nowhere", False, "terminal", ConfigurationError, f"region {REGION}"),
    ("tls", False, "terminal", ConfigurationError, "AWS_CA_BUNDLE"),
    ("malformed", True, "ambiguous", ConfigurationError, "AWS_ENDPOINT_URL"),
    ("oversized", True, "ambiguous", ConfigurationError, "AWS_ENDPOINT_URL"),
    ("credentials", False, "terminal", ConfigurationError, "aws sts"),
]


@pytest.mark.parametrize(("why", "written", "kind", "error", "part"), UNANSWERED)
def test_no_reply(why: Why, written: bool, kind: str, error: type[FabricError], part: str) -> None:
    problem = Unanswered("it went wrong", written=written, why=why)
    fault = found(problem)
    assert (fault.kind, fault.code) == (kind, why)
    assert type(fault.error) is error
    assert fault.error.__cause__ is problem
    for each in ("it went wrong", part, FUNCTION):
        assert each in fault.message


def test_an_error_of_the_credentials_own_is_passed_on() -> None:
    problem = Unanswered("", written=False, why="credentials")
    problem.__cause__ = ConfigurationError("run: aws sso login")
    assert found(problem).error is problem.__cause__


# nothing that a server sends is an error of ours

texts = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["errorType", "errorMessage", "stackTrace", "Reason", "message", "__type", "retryAfterSeconds"]
)
bodies = st.binary(max_size=50) | st.dictionaries(keys, values).map(
    lambda body: json.dumps(body).encode()
)
headers = st.dictionaries(
    st.sampled_from(
        ["x-amz-function-error", "x-amzn-errortype", "x-amz-log-result", "x-amzn-requestid"]
    ),
    texts,
)


@given(status=st.integers(100, 999), headers=headers, body=bodies)
def test_any_reply_gets_a_diagnosis(status: int, headers: dict[str, str], body: bytes) -> None:
    reply = Reply(status, headers, body)
    fault = diagnose(reply, function="any {name}", region=REGION, endpoint=ENDPOINT)
    if fault is None:
        assert status == 200
    else:
        assert fault.kind in KINDS
        assert isinstance(fault.error, FabricError)
