"""`asyncfabric doctor`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from ._options import Commands, add_command
from ._say import say

if TYPE_CHECKING:
    import argparse

    from asyncfabric.aws.doctor._finding import Finding


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "doctor", run, "Check credentials, quotas, workers and storage, by using them."
    )
    parser.add_argument("--memory", metavar="MB", type=int, help="which member; default 1769")
    parser.add_argument("--arch", help="which member; default: this machine's")
    parser.add_argument("--bucket", help="default: asyncfabric-ACCOUNT-REGION")
    parser.add_argument(
        "--max-concurrency", metavar="N", type=int, default=100,
        help="of the Fabric that you mean to use; default 100",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(options: argparse.Namespace) -> int:
    """Carry out the command; its exit code is 1 if a check has failed."""
    from asyncfabric.aws._family import DEFAULT_MEMORY, member
    from asyncfabric.aws.doctor._doctor import Patient, examine

    patient = Patient(
        member(options.name, memory=options.memory or DEFAULT_MEMORY, arch=options.arch),
        region=options.region,
        profile=options.profile,
        endpoint_url=options.endpoint_url,
        bucket=options.bucket,
        max_concurrency=options.max_concurrency,
    )
    findings = asyncio.run(examine(patient, _quiet if options.json else say))
    failed = sum(each.status == "failed" for each in findings)
    if options.json:
        say(
            json.dumps(
                {"ok": not failed, "checks": [each._asdict() for each in findings]}, indent=2
            )
        )
    else:
        say(f"\n{failed} checks failed" if failed else "\nall is well enough to work")
    return 1 if failed else 0


def _quiet(_: Finding) -> None:
    """Say nothing yet."""
