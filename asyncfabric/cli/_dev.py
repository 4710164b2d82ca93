"""`asyncfabric dev`: a whole cloud on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from asyncfabric._exceptions import ConfigurationError
from asyncfabric.aws._family import DEFAULT_MEMORY, member
from asyncfabric.aws._sdk import load
from asyncfabric.testing import Faults, LambdaFront, Limits
from asyncfabric.testing._guard import Guard

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ._options import Commands

_REGION = "us-east-1"
_BUCKET = "asyncfabric-dev"
_LAST_PORT = 65_535
_READY = 60.0
_LISTENING = 0.02
_HOW_TO_INSTALL = (
    "S3 is served by ministack, which isn't there; install it in an environment of its own: "
    "python -m venv .ministack && .ministack/bin/pip install ministack, then give "
    "--ministack .ministack/bin/ministack; or give --s3 URL of another S3 server"
)
_SIGNALLED = 128


class _Keys(NamedTuple):
    """Credentials of the local cloud."""

    access: str
    secret: str


_ANY = _Keys("test", "test")


def add_parser(subparsers: Commands) -> None:
    """Add the command and its options."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "dev",
        help="Run Lambda and S3 on this machine, to try things out.",
        description="Run Lambda (real worker processes) and S3 (ministack) on this machine, and "
        "print the variables that make a program use them. With a command after --, run that with "
        "the variables set, and end with its exit status.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--name", default="asyncfabric", help="the function family")
    parser.add_argument("--port", type=int, default=0, help="of Lambda; default: a free one")
    parser.add_argument("--s3-port", type=int, default=0, help="of S3; default: a free one")
    parser.add_argument(
        "--memory", type=int, default=DEFAULT_MEMORY, help="MB of a worker (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=900.0,
        help="seconds an invocation may take (default: %(default)g)",
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=4 * (os.cpu_count() or 1),
        help="invocations at a time; more are throttled (default: 4 for each core)",
    )
    parser.add_argument(
        "--faults",
        default="",
        metavar="LIST",
        help="what goes wrong, as throttled=0.05,lost=0.01,delay=0.02 (shares; delay in seconds)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults (default: 0)")
    parser.add_argument(
        "--ministack", metavar="PATH", help="the ministack command; default: PATH's"
    )
    parser.add_argument("--s3", metavar="URL", help="use this S3 server instead of ministack")
    parser.add_argument("--logs", action="store_true", help="show what the workers write")
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    parser.add_argument("command", nargs="*", help="a command to run, after --")


def run(options: argparse.Namespace) -> int:
    """Run the cloud; return 0 after Ctrl-C, or the command's exit status."""
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    """Serve until a signal comes; it cancels whatever is going on."""
    signals: list[int] = []
    cloud = asyncio.ensure_future(_cloud(options, signals))

    def stop(number: int) -> None:
        signals.append(number)
        if len(signals) == 1:  # once: what is being stopped is to be finished
            cloud.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    await asyncio.wait([cloud])
    return 0 if cloud.cancelled() else cloud.result()


async def _cloud(options: argparse.Namespace, signals: Sequence[int]) -> int:
    member(options.name, memory=options.memory)  # there can be such a function
    for port in (options.port, options.s3_port):
        if not 0 <= port <= _LAST_PORT:
            raise ConfigurationError(f"{port} is no port; give one of 1 to {_LAST_PORT}")
    if options.command and shutil.which(options.command[0]) is None:
        raise ConfigurationError(
            f"{options.command[0]!r} is no command; give one that exists after --"
        )
    keys = _keys() if options.s3 else _ANY
    front = LambdaFront(
        limits=Limits(concurrency=options.concurrency),
        faults=_faults(options.faults, options.seed),
        timeout=options.timeout,
        environment={"AWS_ACCESS_KEY_ID": keys.access, "AWS_SECRET_ACCESS_KEY": keys.secret},
        region=_REGION,
        port=options.port,
        on_log=_show if options.logs else None,
    )
    async with AsyncExitStack() as stack:
        if options.s3:
            s3: str = options.s3.rstrip("/")
        else:
            server = _running(_ministack(options.ministack), options.s3_port)
            s3 = await stack.enter_async_context(server)
        await stack.enter_async_context(front)
        await _make_bucket(s3, keys)
        variables = _variables(options, front.url, s3, keys)
        if options.command:
            return await run_command(options.command, variables, signals)
        for name, value in variables.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        sys.stderr.write("Lambda and S3 are running; Ctrl-C stops them.\n")
        await asyncio.Event().wait()
        return 0


def _variables(options: argparse.Namespace, front: str, s3: str, keys: _Keys) -> dict[str, str]:
    backend = f"lambda://{options.name}?region={_REGION}&endpoint_url={quote(front, safe='')}"
    if options.memory != DEFAULT_MEMORY:
        backend += f"&memory={options.memory}"
    storage = f"s3://{_BUCKET}?region={_REGION}&endpoint_url={quote(s3, safe='')}"
    return {
        "ASYNCFABRIC_BACKEND": backend,
        "ASYNCFABRIC_STORAGE": storage,
        "AWS_ACCESS_KEY_ID": keys.access,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_REGION": _REGION,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_ENDPOINT_URL_LAMBDA": front,
        "AWS_ENDPOINT_URL_S3": s3,
    }


async def run_command(
    command: Sequence[str], variables: Mapping[str, str], signals: Sequence[int]
) -> int:
    """Run a command to its end, also where this is cancelled, because of `signals`."""
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables})
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        # Ctrl-C at a terminal reaches the command, too: it is given the time to clean up.
        if signal.SIGTERM in signals or not sys.stdin.isatty():
            with suppress(ProcessLookupError):
                process.terminate()
        code = await process.wait()
    return code if code >= 0 else _SIGNALLED - code


# -- S3 -----------------------------------------------------------------------------------------


def _ministack(path: str | None) -> str:
    found = shutil.which(path or "ministack")
    if found is None:
        if path is not None:
            raise ConfigurationError(f"--ministack {path} is no command. {_HOW_TO_INSTALL}")
        raise ConfigurationError(_HOW_TO_INSTALL)
    return str(Path(found).absolute())


@asynccontextmanager
async def _running(command: str, port: int) -> AsyncGenerator[str]:
    """Run ministack, also ended when this process is killed; yields its URL once it answers."""
    port = port or _free_port()
    root = Path(tempfile.mkdtemp(prefix="asyncfabric-dev-"))
    guard = Guard(os.getpid(), str(root))
    try:
        with (root / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=root,
                env=_ministack_variables(port, root),
                process_group=0,
            )
        guard.add(process.pid)
        try:
            await _answers(process, f"http://127.0.0.1:{port}/_ministack/health", root / "log")
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # what it holds is not kept anyway
            guard.remove(process.pid)
            await process.wait()
    finally:
        guard.close()
        shutil.rmtree(root, ignore_errors=True)


def _ministack_variables(port: int, root: Path) -> dict[str, str]:
    # Nothing of AWS that this shell has reaches an emulator.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    return {
        **inherited,
        "TMPDIR": str(root),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }


async def _answers(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    """Wait until a server answers."""
    import aiohttp

    until = time.monotonic() + _READY
    async with aiohttp.ClientSession() as session:
        while process.returncode is None and time.monotonic() < until:
            try:
                async with session.get(url) as response:
                    if response.ok:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(_LISTENING)
    raise ConfigurationError(
        f"ministack did not start; try another --s3-port, or run it by hand. Its last words:\n"
        f"{_end_of(log)}"
    )


async def _make_bucket(url: str, keys: _Keys) -> None:
    sdk = await asyncio.to_thread(load, "aiobotocore.session")
    config = load("aiobotocore.config").AioConfig(
        s3={"addressing_style": "path"},
        connect_timeout=10,
        read_timeout=10,
        retries={"total_max_attempts": 1},
    )
    failures = load("botocore.exceptions")
    async with sdk.get_session().create_client(
        "s3",
        region_name=_REGION,
        endpoint_url=url,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        config=config,
    ) as client:
        try:
            await client.create_bucket(Bucket=_BUCKET)
        except (client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
            return
        except (failures.BotoCoreError, failures.ClientError) as error:
            raise ConfigurationError(
                f"can't make the bucket {_BUCKET} at {url}: {error}; see that an S3 server listens "
                "there and takes AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            ) from error


# -- small things -------------------------------------------------------------------------------


def _keys() -> _Keys:
    """Return the keys for a server that was there before: the environment's, or any."""
    found = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    return _Keys(found[0], found[1]) if found[0] and found[1] else _ANY


def _faults(text: str, seed: int) -> Faults:
    """Read `throttled=0.05,lost=0.01`."""
    known = {each.name for each in fields(Faults)} - {"seed"}
    shares: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, _, value = part.partition("=")
        try:
            shares[name.strip()] = float(value)
        except ValueError:
            name = ""
        if name.strip() not in known:
            raise ConfigurationError(
                f"--faults {part!r} is not understood; write NAME=NUMBER with a name of "
                f"{', '.join(sorted(known))}"
            )
    return Faults(seed=seed, **shares)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _show(name: str, text: str) -> None:
    sys.stderr.write(f"[{name}] {text}")
