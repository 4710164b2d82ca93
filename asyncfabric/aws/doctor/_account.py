"""Checks of the account: who we are, how late it is, how many workers may run."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from asyncfabric.aws.deploy._cloud import Refused

from ._finding import Finding, Status

if TYPE_CHECKING:
    from asyncfabric.aws._family import Member
    from asyncfabric.aws.deploy._cloud import Cloud

SKEW_WARNING, SKEW_FAILURE = 60.0, 300.0
"""Seconds. AWS refuses requests that were signed more than five minutes from now."""


async def check_clock(cloud: Cloud) -> Finding:
    """Compare this machine's clock with the service's."""
    answer = await cloud.call("sts", "get_caller_identity")
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    if date is None:
        return Finding("clock", "unknown", "the service sent no date")
    return judge_skew((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())


def judge_skew(seconds: float) -> Finding:
    """Say what a difference of clocks means."""
    which = "ahead of" if seconds > 0 else "behind"
    says = f"{abs(seconds):.0f} s {which} AWS's"
    if abs(seconds) < SKEW_WARNING:
        return Finding("clock", "ok", says)
    status: Status = "failed" if abs(seconds) >= SKEW_FAILURE else "warning"
    return Finding("clock", status, says, "set this machine's clock (timedatectl set-ntp true)")


async def check_quota(cloud: Cloud, member: Member, max_concurrency: int) -> Finding:
    """Compare what the account and the function may run at once with what is meant to run."""
    try:
        limits = (await cloud.call("lambda", "get_account_settings"))["AccountLimit"]
    except Refused as error:
        return Finding(
            "quota", "unknown", f"the service doesn't say ({error.code})",
            f"see that {max_concurrency} workers may run at once",
        )  # fmt: skip
    try:
        function = await cloud.call(
            "lambda", "get_function_concurrency", FunctionName=member.function_name
        )
    except Refused:  # denied, or there is no function, which another check says
        function = {}
    return judge_quota(
        int(limits["ConcurrentExecutions"]),
        int(limits.get("UnreservedConcurrentExecutions", limits["ConcurrentExecutions"])),
        function.get("ReservedConcurrentExecutions"),
        max_concurrency,
    )


def judge_quota(
    account: int, unreserved: int, reserved: int | None, max_concurrency: int
) -> Finding:
    """Say what the numbers mean."""
    if reserved is not None:
        says = f"{reserved} workers at once are reserved for the function"
        if reserved == 0:
            advice = "reserve some with asyncfabric deploy --reserved-concurrency N"
            return Finding("quota", "failed", f"{says}: it can't run", advice)
        most, advice = reserved, "deploy with a larger --reserved-concurrency"
    else:
        says = f"{unreserved} of the account's {account} workers at once are free for it"
        most, advice = (
            unreserved,
            "ask AWS for more (Service Quotas, Lambda, Concurrent executions)",
        )
    if most < max_concurrency:
        return Finding(
            "quota", "warning", f"{says}, fewer than max_concurrency={max_concurrency}",
            f"{advice}, or use max_concurrency={most}",
        )  # fmt: skip
    return Finding("quota", "ok", says)
