"""`asyncfabric destroy`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._ask import agreed
from ._options import Commands, add_command, cloud_of
from ._say import say, warn

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "destroy", run, "Delete workers, their role and their logs.")
    parser.add_argument(
        "--unused", action="store_true",
        help="only functions of other Pythons and wire versions than this driver's",
    )  # fmt: skip
    parser.add_argument("--bucket", help="default: asyncfabric-ACCOUNT-REGION")
    parser.add_argument(
        "--bucket-contents", action="store_true", help="the family's objects in the bucket too"
    )
    parser.add_argument(
        "--delete-bucket", action="store_true", help="the bucket too, if deploy has made it"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(options: argparse.Namespace) -> int:
    """Carry out the command."""
    from asyncfabric._exceptions import ConfigurationError

    if options.unused and (options.bucket_contents or options.delete_bucket):
        msg = "--unused leaves the bucket alone; give it without --bucket-contents, --delete-bucket"
        raise ConfigurationError(msg)
    return asyncio.run(_destroy(options))


async def _destroy(options: argparse.Namespace) -> int:
    from asyncfabric.aws.deploy._destroy import plan_destroy
    from asyncfabric.aws.deploy._steps import carry_out

    async with cloud_of(options) as cloud:
        steps = await plan_destroy(
            cloud,
            options.name,
            unused=options.unused,
            bucket=options.bucket,
            contents=options.bucket_contents,
            bucket_too=options.delete_bucket,
        )
        if not steps:
            say("nothing to do")
            return 0
        if options.dry_run or not options.yes:
            for step in steps:
                say(step)
        if options.dry_run:
            return 0
        if not options.yes and not agreed(
            f"delete these in account {cloud.account}, {cloud.region}?"
        ):
            say("nothing was deleted")
            return 1
        await carry_out(steps, say, warn)
    return 0
