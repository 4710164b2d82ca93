"""`asyncfabric deploy`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ._options import Commands, add_command, cloud_of
from ._say import complain, say, warn

if TYPE_CHECKING:
    import argparse

    from asyncfabric.aws.deploy._plan import Plan
    from asyncfabric.aws.deploy._settings import Settings


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands, "deploy", run, "Make workers on AWS Lambda, or bring them up to date."
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan, change nothing")
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.add_argument(
        "--template", metavar="FILE", help="write a CloudFormation template instead; - prints it"
    )
    parser.add_argument(
        "--package", metavar="FILE", help="write the worker's zip; nothing else is done"
    )
    parser.add_argument(
        "--driver-policy", metavar="FILE", help="write the policy for drivers; - prints it"
    )
    parser.add_argument(
        "--worker-policy", metavar="FILE", help="write the policy of the workers' role; - prints it"
    )
    workers = parser.add_argument_group("workers")
    workers.add_argument(
        "--memory", metavar="MB", type=int, action="append", help="128 to 10240; repeatable: a "
        "function for each; default 1769, the least with a whole core",
    )  # fmt: skip
    workers.add_argument("--arch", help="x86_64 or arm64; default: this machine's")
    workers.add_argument("--timeout", metavar="SECONDS", type=int, default=900, help="default 900")
    workers.add_argument(
        "--ephemeral-storage", metavar="MB", type=int, default=2048, help="for files; default 2048"
    )
    workers.add_argument("--reserved-concurrency", metavar="N", type=int, help="for each function")
    packages = parser.add_argument_group("packages that your functions import")
    packages.add_argument(
        "--requirements", metavar="FILE_OR_REQUIREMENT", action="append", default=[],
        help="for the workers; repeatable: 'numpy>=2', requirements.txt",
    )  # fmt: skip
    packages.add_argument("--layer", metavar="ARN", action="append", default=[], help="repeatable")
    packages.add_argument("--image", metavar="URI", help="a container image instead of a zip")
    packages.add_argument(
        "--serve", metavar="MODULE[:FUNCTION]", action="append", default=[],
        help="repeatable: the workers run functions of these modules only, which go along, and "
        "take no code from drivers, which need code='deployed'",
    )  # fmt: skip
    account = parser.add_argument_group("account")
    account.add_argument("--bucket", help="default: asyncfabric-ACCOUNT-REGION, which is made")
    account.add_argument("--role-arn", metavar="ARN", help="the workers' role; default: made")
    account.add_argument("--permissions-boundary", metavar="ARN", help="of the role that is made")
    account.add_argument(
        "--tags", metavar="KEY=VALUE", nargs="+", action="extend", default=[], help="on everything"
    )
    account.add_argument("--expire-days", metavar="N", type=int, default=30, help="default 30")
    account.add_argument("--log-days", metavar="N", type=int, default=14, help="default 14")


def run(options: argparse.Namespace) -> int:
    """Carry out the command."""
    settings = _settings(options)
    if options.template or options.package:
        return _write_files(options, settings)
    return asyncio.run(_deploy(options, settings))


def _settings(options: argparse.Namespace) -> Settings:
    from asyncfabric.aws._family import DEFAULT_MEMORY, machine
    from asyncfabric.aws.deploy._settings import Settings

    return Settings(
        name=options.name,
        memory=tuple(options.memory or [DEFAULT_MEMORY]),
        arch=options.arch or machine(),
        timeout=options.timeout,
        ephemeral_storage=options.ephemeral_storage,
        bucket=options.bucket,
        expire_days=options.expire_days,
        log_days=options.log_days,
        role_arn=options.role_arn,
        permissions_boundary=options.permissions_boundary,
        tags=_tags(options.tags),
        reserved_concurrency=options.reserved_concurrency,
        requirements=tuple(options.requirements),
        layers=tuple(options.layer),
        image=options.image,
        serve=tuple(options.serve),
    )


def _tags(pairs: list[str]) -> dict[str, str]:
    from asyncfabric._exceptions import ConfigurationError

    tags: dict[str, str] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key or key.startswith("aws:"):
            msg = f"--tags can't be {pair!r}; write KEY=VALUE"
            raise ConfigurationError(msg)
        tags[key] = value
    return tags


def _write_files(options: argparse.Namespace, settings: Settings) -> int:
    """Write what needs no account: the worker's zip, the template."""
    from asyncfabric._exceptions import ConfigurationError
    from asyncfabric.aws.deploy._package import build_package
    from asyncfabric.aws.deploy._template import template

    for option in ("dry_run", "json", "driver_policy", "worker_policy"):
        if getattr(options, option):
            msg = (
                "--template and --package only write files (a template holds both policies); "
                f"give them without --{option.replace('_', '-')}"
            )
            raise ConfigurationError(msg)
    if options.package:
        archive = build_package(Path(options.package), settings.target, settings.serve)
        complain(f"{options.package}: {archive.size / 1e6:.1f} MB, SHA-256 {archive.sha256}")
    if options.template:
        _write(options.template, template(settings))
    return 0


async def _deploy(options: argparse.Namespace, settings: Settings) -> int:
    from asyncfabric.aws.deploy._plan import make_plan, urls
    from asyncfabric.aws.deploy._policies import driver_policy, worker_policy
    from asyncfabric.aws.deploy._steps import carry_out

    with tempfile.TemporaryDirectory(prefix="asyncfabric-deploy-") as scratch:
        async with cloud_of(options) as cloud:
            complain(f"account {cloud.account}, region {cloud.region}")
            if settings.requirements:
                what = ", ".join(settings.requirements)
                complain(f"installing {what} for {settings.target.runtime} on {settings.arch} ...")
            plan = await make_plan(cloud, settings, Path(scratch))
            for path, policy in (
                (options.driver_policy, driver_policy(plan.place)),
                (options.worker_policy, worker_policy(plan.place)),
            ):
                if path:
                    _write(path, json.dumps(policy, indent=2) + "\n")
            _warn_of_versions(plan)
            if not options.dry_run:
                await carry_out(plan.steps, (lambda _: None) if options.json else say, warn)
            backend, storage = urls(cloud, settings, plan.place)
    if options.json:
        report = {
            "dry_run": options.dry_run,
            "steps": [str(step) for step in plan.steps],
            "functions": plan.functions,
            "bucket": plan.place.bucket,
            "role": plan.role,
            "package_sha256": plan.package and plan.package.sha256,
            "dependencies": plan.dependencies and plan.dependencies.versions,
            "environment": {"ASYNCFABRIC_BACKEND": backend, "ASYNCFABRIC_STORAGE": storage},
        }
        say(json.dumps(report, indent=2))
        return 0
    if options.dry_run:
        for step in plan.steps:
            say(step)
        say(f"{len(plan.steps)} steps to do" if plan.steps else "nothing to do")
        return 0
    if not plan.steps:
        say("nothing to do: all is up to date")
    say("\nworkers are ready; set these where your program runs:\n")
    if options.profile:
        say(f"export AWS_PROFILE='{options.profile}'")
    say(f"export ASYNCFABRIC_BACKEND='{backend}'")
    say(f"export ASYNCFABRIC_STORAGE='{storage}'")
    return 0


def _warn_of_versions(plan: Plan) -> None:
    from asyncfabric.aws.deploy._dependencies import differences

    if plan.dependencies is None:
        return
    if other := differences(plan.dependencies.versions):
        warn(f"other versions than here: {'; '.join(other)}")


def _write(path: str, text: str) -> None:
    if path == "-":
        say(text.removesuffix("\n"))
    else:
        Path(path).write_text(text, encoding="utf-8")
