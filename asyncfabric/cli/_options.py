"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from asyncfabric.aws.deploy._cloud import Cloud

Commands = Any
"""What `ArgumentParser.add_subparsers` returns, which argparse has no public name for."""


def add_command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], says: str
) -> argparse.ArgumentParser:
    """Add a command with the options of all: which family, where, and how much to say."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=says, description=says)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--name", default="asyncfabric", help="the function family, as in lambda://NAME"
    )
    where = parser.add_argument_group("where")
    where.add_argument("--region", help="default: AWS_REGION, then the profile's")
    where.add_argument("--profile", help="a section of ~/.aws/config; default: AWS_PROFILE")
    where.add_argument("--endpoint-url", help="another cloud than AWS; default: AWS_ENDPOINT_URL")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser


def cloud_of(options: argparse.Namespace) -> Cloud:
    """Return the account that the options name; nothing is asked of it yet."""
    from asyncfabric.aws.deploy._cloud import Cloud

    return Cloud(region=options.region, profile=options.profile, endpoint_url=options.endpoint_url)
