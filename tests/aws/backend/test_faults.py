# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
"""Throttling, errors of the service and lost answers, as calls see them."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import asyncfabric as af
from asyncfabric.testing import Fault, FunctionSettings, LambdaFront
from tests.api.work import noted
from tests.aws.backend.fronts import cloud

pytestmark = pytest.mark.asyncio(loop_scope="module")

THROTTLES = [
    "ConcurrentInvocationLimitExceeded",
    "FunctionInvocationRateLimitExceeded",
    "ReservedFunctionInvocationRateLimitExceeded",
    "CallerRateLimitExceeded",
    "ConcurrentSnapshotCreateLimitExceeded",
]
TRANSIENT = [
    (500, "ServiceException"),
    (503, "ServiceUnavailable"),
    (502, "EC2UnexpectedException"),
    (502, "ENINotReadyException"),
    (502, "ResourceNotReadyException"),
    (409, "SnapStartNotReadyException"),
    (408, "SnapStartTimeoutException"),
    (409, "SnapStartRegenerationFailureException"),
    (409, "ResourceConflictException"),
    (409, "CodeArtifactUserPendingException"),
    (408, "EFSMountTimeoutException"),
    (408, "S3FilesMountTimeoutException"),
]
TERMINAL = [
    (403, "AccessDeniedException", af.ConfigurationError, "lambda:InvokeFunction"),
    (403, "ExpiredTokenException", af.ConfigurationError, "renew the credentials"),
    (403, "UnrecognizedClientException", af.ConfigurationError, "access key"),
    (403, "InvalidSignatureException", af.ConfigurationError, "secret key"),
    (502, "KMSDisabledException", af.DeploymentError, "KMS"),
    (502, "KMSAccessDeniedException", af.DeploymentError, "kms:Decrypt"),
    (502, "InvalidRuntimeException", af.DeploymentError, "runtime"),
    (502, "InvalidZipFileException", af.DeploymentError, "publish"),
    (502, "InvalidSubnetIDException", af.DeploymentError, "VPC"),
    (502, "InvalidSecurityGroupIDException", af.DeploymentError, "VPC"),
    (502, "SubnetIPAddressLimitReachedException", af.DeploymentError, "addresses"),
    (502, "ENILimitReachedException", af.DeploymentError, "VPC"),
    (502, "EC2AccessDeniedException", af.DeploymentError, "VPC"),
    (402, "ServiceQuotaExceededException", af.DeploymentError, "Service Quotas"),
    (400, "RecursiveInvocationException", af.DeploymentError, "endless loop"),
    (409, "CodeArtifactUserDeletedException", af.DeploymentError, "publish"),
    (409, "CodeArtifactUserFailedException", af.DeploymentError, "publish"),
    (400, "NoPublishedVersionException", af.DeploymentError, "publish"),
]


def leave_a_mark(directory: Path) -> Any:
    """Return a function that notes in a directory that it ran."""
    place = str(directory)

    def work(x: int) -> int:
        import os
        import uuid

        with open(os.path.join(place, f"{x}.{uuid.uuid4().hex}"), "x"):  # noqa: PTH118, PTH123
            return x

    return work


def reserve(front: LambdaFront, fabric: Any, concurrency: int) -> None:
    """Reserve concurrency for the function that a Fabric calls."""
    member = fabric._core.backend._settings.member
    handler = "asyncfabric_runtime._aws_lambda.handler"
    settings = FunctionSettings(
        handler=handler, memory=member.memory, timeout=60, reserved_concurrency=concurrency
    )
    front.register(member.function_name, settings)


# throttling


@pytest.mark.parametrize("reason", THROTTLES)
async def test_throttles_cost_no_attempt(fabric: Any, front: LambdaFront, reason: str) -> None:
    front.inject([Fault.throttle(reason=reason)] * 3)
    calls = [fabric.submit(lambda x: x, x) for x in range(6)]
    assert await asyncio.gather(*calls) == list(range(6))
    assert front.counters.statuses[429] == front.counters.throttles >= 3
    for call in calls:
        assert [attempt.number for attempt in call.attempts] == [1]


async def test_a_throttle_of_another_kind(fabric: Any, front: LambdaFront) -> None:
    front.inject([Fault(status=502, code="EC2ThrottledException")] * 3)
    call = fabric.submit(lambda: 1)
    assert await call == 1
    assert len(call.attempts) == 1


async def test_retry_after_is_waited_for(fabric: Any, front: LambdaFront) -> None:
    loop = asyncio.get_running_loop()
    started, requests = loop.time(), front.counters.requests
    front.inject([Fault.throttle(retry_after=0.5)])
    assert await fabric.map(lambda x: x, range(4), chunksize=1) == [0, 1, 2, 3]
    assert front.counters.requests - requests == 5
    assert loop.time() - started >= 0.5


async def test_throttling_without_end(front: LambdaFront) -> None:
    requests = front.counters.requests
    impatient = af.Limit(patience=0.3)
    async with af.Fabric(front.backend, hedge=None, max_concurrency=8, limit=impatient) as fabric:
        front.inject(lambda _: Fault.throttle(reason="ConcurrentInvocationLimitExceeded"))
        with pytest.raises(af.Throttled, match="ConcurrentInvocationLimitExceeded") as caught:
            await fabric.map(lambda x: x, range(100), chunksize=1)
        assert "Service Quotas" in str(caught.value)
        assert front.counters.requests - requests < 40
        front.inject(None)
        assert await fabric.submit(lambda: 1) == 1  # and the Fabric lives on


async def test_what_runs_long_is_no_sign_of_throttling_without_end(front: LambdaFront) -> None:
    def work(x: int) -> int:
        import time

        time.sleep(0.3)
        return x

    front.inject([None, None, Fault.throttle()])
    impatient = af.Limit(patience=0)
    async with af.Fabric(front.backend, hedge=None, max_concurrency=3, limit=impatient) as fabric:
        assert await fabric.map(work, range(3), chunksize=1) == [0, 1, 2]


# faults that pass


@pytest.mark.parametrize(("status", "code"), TRANSIENT)
async def test_what_passes_is_tried_again(
    fabric: Any, front: LambdaFront, status: int, code: str
) -> None:
    quick = fabric.with_options(retry=af.Retry(base=0))
    front.inject([Fault.error(status, code)] * 2)
    call = quick.submit(lambda: 1)
    assert await call == 1
    assert [each.number for each in call.attempts] == [1, 2, 3]
    assert code in str(call.attempts[0].error)


async def test_what_passes_too_late(fabric: Any, front: LambdaFront) -> None:
    requests = front.counters.requests
    front.inject(lambda _: Fault.error(500))
    with pytest.raises(af.InvocationError, match="ServiceException") as caught:
        await fabric.with_options(retry=af.Retry(attempts=2, base=0)).submit(lambda: 1)
    assert front.counters.requests - requests == 2
    assert "request id" in str(caught.value)
    assert "attempt 2" in caught.value.__notes__[0]


async def test_no_retry_at_all(fabric: Any, front: LambdaFront) -> None:
    requests = front.counters.requests
    front.inject([Fault.error(502, "ENINotReadyException")])
    with pytest.raises(af.InvocationError):
        await fabric.with_options(retry=None).submit(lambda: 1)
    assert front.counters.requests - requests == 1


@pytest.mark.parametrize(
    ("fault", "runs"),
    [
        (Fault.error(502, "ENINotReadyException"), True),
        (Fault(reset=True), False),  # nobody knows whether it had arrived
        (Fault.error(500, "ServiceException"), False),
        (Fault(lost_reply=True), False),
    ],
    ids=["not ready", "reset", "500", "lost"],
)
async def test_what_must_not_run_twice(
    fabric: Any, front: LambdaFront, tmp_path: Path, fault: Fault, *, runs: bool
) -> None:
    once = fabric.with_options(idempotent=False, retry=af.Retry(base=0))
    front.inject([fault])
    call = once.submit(leave_a_mark(tmp_path), 1)
    if runs:
        assert await call == 1
        assert noted(tmp_path) == {"1": 1}
    else:
        with pytest.raises(af.InvocationError):
            await call
        await front.until(lambda counters: counters.running == 0)
        assert noted(tmp_path) == ({"1": 1} if fault.lost_reply else {})


async def test_a_lost_answer_is_asked_for_again(
    fabric: Any, front: LambdaFront, tmp_path: Path
) -> None:
    front.inject([Fault(lost_reply=True)])
    call = fabric.with_options(retry=af.Retry(base=0)).submit(leave_a_mark(tmp_path), 1)
    assert await call == 1
    assert noted(tmp_path) == {"1": 2}  # at least once
    assert len(call.attempts) == 2


async def test_a_reset_before_anything_was_read(
    fabric: Any, front: LambdaFront, tmp_path: Path
) -> None:
    front.inject([Fault(reset=True)])
    call = fabric.with_options(retry=af.Retry(base=0)).submit(leave_a_mark(tmp_path), 1)
    assert await call == 1
    assert noted(tmp_path) == {"1": 1}


async def test_a_duplicate_is_one_result(tmp_path: Path) -> None:
    async with cloud(concurrency=1, faults=[Fault(duplicate=True)] * 4) as (front, fabric):
        assert await fabric.map(leave_a_mark(tmp_path), range(4), chunksize=1) == [0, 1, 2, 3]
        await front.until(lambda counters: counters.executions == 8)
        assert fabric._core.bind().in_flight == 0


async def test_slow_answers(fabric: Any, front: LambdaFront) -> None:
    requests = front.counters.requests
    front.inject([Fault(slow_reply=0.3), Fault(delay=0.3)])
    assert await fabric.map(lambda x: x, range(4), chunksize=1) == [0, 1, 2, 3]
    assert front.counters.requests - requests == 4  # nobody lost patience


# faults that don't pass


@pytest.mark.parametrize(("status", "code", "kind", "advice"), TERMINAL)
async def test_what_does_not_pass_ends_the_job(
    fabric: Any, front: LambdaFront, status: int, code: str, kind: type[Exception], advice: str
) -> None:
    requests = front.counters.requests
    front.inject(lambda _: Fault.error(status, code))
    with pytest.raises(kind, match=code) as caught:
        await fabric.map(lambda x: x, range(1000), chunksize=1)
    assert advice in str(caught.value)
    assert "request id" in str(caught.value)
    assert front.counters.requests - requests <= 4  # those that were on their way


async def test_what_does_not_pass_ends_a_job_that_collects_exceptions(
    fabric: Any, front: LambdaFront
) -> None:
    front.inject(lambda _: Fault.error(403, "AccessDeniedException"))
    with pytest.raises(af.ConfigurationError, match="AccessDenied"):
        await fabric.map(lambda x: x, range(10), return_exceptions=True)
    with pytest.raises(af.ConfigurationError, match="AccessDenied"):
        await fabric.submit(lambda: 1)
    front.inject(None)
    assert await fabric.submit(lambda: 1) == 1


async def test_a_reserved_concurrency_of_a_few() -> None:
    async with cloud(concurrency=20) as (front, fabric):
        reserve(front, fabric, 2)
        assert await fabric.map(lambda x: x, range(30), chunksize=1) == list(range(30))
        assert front.counters.peak == 2
