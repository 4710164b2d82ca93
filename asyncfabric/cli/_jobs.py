"""`asyncfabric jobs` and `asyncfabric gc`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import ConfigurationError, FabricError, IntegrityError

from ._ask import agreed
from ._say import complain, say, warn

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from asyncfabric.jobs import Summary

    from ._options import Commands

_VARIABLE = "ASYNCFABRIC_STORAGE"
_AT_ONCE = 8
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_THOUSAND = 1000


def add_parser(commands: Commands) -> None:
    """Add the commands."""
    says = "List durable jobs, show how far one is, or forget it."
    parser: argparse.ArgumentParser = commands.add_parser("jobs", help=says, description=says)

    def usage(_: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(run=usage)
    actions = parser.add_subparsers(metavar="ACTION", title="actions")
    listing = _add(actions, "list", _list, "Print the names of all jobs.")
    listing.add_argument(
        "--long",
        action="store_true",
        help="how far each is, too; needs the key they were made with",
    )
    showing = _add(actions, "show", _show, "Tell how far a job is.")
    showing.add_argument("job", metavar="NAME")
    discarding = _add(actions, "discard", _discard, "Forget a job, all its results included.")
    discarding.add_argument("job", metavar="NAME")
    discarding.add_argument("--yes", action="store_true", help="don't ask")
    collecting = _add(
        commands, "gc", _gc, "Delete what no job needs any more; results of jobs are kept."
    )
    collecting.add_argument(
        "--grace", metavar="SECONDS", type=float, default=86_400.0,
        help="keep what is younger and may belong to work under way; default a day",
    )  # fmt: skip


def _add(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], says: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=says, description=says)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--storage", metavar="URL", help=f"s3://bucket/prefix or file:///dir; default: {_VARIABLE}"
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return parser


def _storage(options: argparse.Namespace) -> str:
    url: str = options.storage or os.environ.get(_VARIABLE) or ""
    if not url:
        raise ConfigurationError(
            f"where are the jobs? give --storage s3://bucket/prefix, or set {_VARIABLE} as for the "
            "program that runs them"
        )
    return url


# -- list and show ------------------------------------------------------------------------------


def _list(options: argparse.Namespace) -> int:
    from asyncfabric import jobs

    url = _storage(options)
    if options.long:
        return asyncio.run(_list_long(url, as_json=options.json))
    names = asyncio.run(jobs.list(url))
    if options.json:
        say(json.dumps(names, indent=2))
        return 0
    for name in names:
        say(name)
    if not names:
        complain("there are no jobs")
    return 0


async def _list_long(url: str, *, as_json: bool) -> int:
    from asyncfabric import jobs
    from asyncfabric.jobs._key_file import find_master_key
    from asyncfabric.jobs._listing import NoSuchJob, summarize
    from asyncfabric.jobs._where import lent

    slots = asyncio.Semaphore(_AT_ONCE)
    key = find_master_key()
    async with lent(url) as store:

        async def look(name: str) -> Summary | str | None:
            async with slots:
                try:
                    return await summarize(store, key, name)
                except IntegrityError as error:
                    return str(error)  # the others are shown all the same
                except NoSuchJob:
                    return None  # discarded just now

        names = await jobs.list(store)
        found = await asyncio.gather(*map(look, names))
    pairs = [(name, each) for name, each in zip(names, found, strict=True) if each is not None]
    if as_json:
        say(json.dumps([_fields(*pair) for pair in pairs], indent=2))
    elif pairs:
        rows: list[tuple[str, ...]] = [
            ("NAME", "STATE", "DONE", "INPUTS", "FAILED", "BEGUN", "DRIVER")
        ]
        rows += [_row(*pair) for pair in pairs]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            say("  ".join(cells).rstrip())
    else:
        complain("there are no jobs")
    for name, each in pairs:
        if isinstance(each, str):
            warn(f"{name}: {each}")
    return 1 if any(isinstance(each, str) for _, each in pairs) else 0


def _row(name: str, job: Summary | str) -> tuple[str, ...]:
    if isinstance(job, str):
        return (name, "unreadable", "-", "-", "-", "-", "-")
    return (
        name,
        _state(job),
        f"{job.done:,}",
        "?" if job.total is None else f"{job.total:,}",
        "-" if job.failed is None and not job.noted else f"{job.failed or job.noted:,}",
        job.begun,
        f"{job.pid} on {job.host}" if job.drivers else "-",
    )


def _show(options: argparse.Namespace) -> int:
    from asyncfabric import jobs

    job = asyncio.run(jobs.show(_storage(options), options.job))
    if options.json:
        say(json.dumps(_fields(job.name, job), indent=2))
        return 0
    inputs = "not read to their end yet" if job.total is None else f"{job.total:,}"
    lines = [
        ("job", job.name),
        ("state", _state(job)),
        ("inputs", inputs),
        ("done", f"{job.done:,}{_share(job)}"),
    ]
    if job.failed is not None:
        lines.append(("failed", f"{job.failed:,}"))
    if job.noted:
        lines.append(("failed", f"{job.noted:,}, which another launch tries again"))
    lines += [("begun", f"{job.begun}, by asyncfabric {job.release}"), ("drivers", _drivers(job))]
    for name, text in lines:
        say(f"{name:8}{text}")
    return 0


def _share(job: Summary) -> str:
    return f" ({100 * job.done // job.total} %)" if job.total else ""


def _drivers(job: Summary) -> str:
    if not job.drivers:
        return "none"
    latest = f"process {job.pid} on {job.host}"
    if job.launched:
        latest += ", which has left all calls to AWS Lambda"
    if job.driver_gone and not job.finished:
        latest += ", which has ended; run its program again, which goes on"
    return latest if job.drivers == 1 else f"{job.drivers}, the latest {latest}"


def _state(job: Summary) -> str:
    if job.finished:
        return "finished"
    if job.launched:
        return "launched"
    return "left" if job.driver_gone else "begun"


def _fields(name: str, job: Summary | str) -> dict[str, Any]:
    if isinstance(job, str):
        return {"name": name, "error": job}
    return {**job._asdict(), "state": _state(job)}


# -- discard and gc -----------------------------------------------------------------------------


def _discard(options: argparse.Namespace) -> int:
    return asyncio.run(_discard_in(_storage(options), options))


async def _discard_in(url: str, options: argparse.Namespace) -> int:
    from asyncfabric import jobs
    from asyncfabric.jobs._where import lent

    async with lent(url) as store:
        if not options.yes and options.job in await jobs.list(store):
            complain(await _describe(store, options.job))
            if not agreed("delete it?"):
                complain("nothing was deleted")
                return 1
        deleted = await jobs.discard(store, options.job)
    if options.json:
        say(json.dumps({"name": options.job, "objects": deleted}))
    else:
        say(f"job {options.job} is forgotten: {deleted:,} objects deleted")
    return 0


async def _describe(store: Any, name: str) -> str:  # noqa: ANN401 - a store
    from asyncfabric import jobs

    try:
        job = await jobs.show(store, name)
    except FabricError as error:
        return f"job {name} can't be read: {error}"
    inputs = (
        "of inputs that weren't read to their end" if job.total is None else f"of {job.total:,}"
    )
    return f"job {name}, begun {job.begun}: {job.done:,} results {inputs}"


def _gc(options: argparse.Namespace) -> int:
    from asyncfabric import jobs

    done = asyncio.run(jobs.gc(_storage(options), grace=options.grace))
    if options.json:
        say(json.dumps(done._asdict()))
    elif done.objects:
        say(f"deleted {done.objects:,} objects, {_size(done.size)}:")
        for count, what in (
            (done.areas, "jobs that were discarded or never begun"),
            (done.executions, "results that came second"),
            (done.exchanges, "exchanges between stages"),
            (done.leases, "leases of earlier drivers"),
            (done.notes, "notes of jobs that were launched, and run again since"),
        ):
            if count:
                say(f"{count:8,}  {what}")
    else:
        say("nothing to delete")
    for name in done.unreadable:
        warn(
            f"the manifest of job {name} can't be read, so what may be its own is kept; if it is "
            f"of no use: asyncfabric jobs discard {name}"
        )
    return 0


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= _THOUSAND and unit + 1 < len(_UNITS):
        size, unit = size / _THOUSAND, unit + 1
    return f"{size:,.1f} {_UNITS[unit]}" if unit else f"{count} bytes"
