"""`asyncfabric dev`: Lambda and S3 on this machine."""

import asyncio
import os
import shlex
import signal
import sys
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from asyncfabric.cli._dev import run_command
from tests.cloud.environments import environment
from tests.testing.client import ended

_MAIN = "import sys; from asyncfabric.cli import main; sys.exit(main())"
_PROGRAM = """
import os, sys, urllib.error, urllib.request
from asyncfabric.backends.aws_lambda._url import read_url

name = read_url(os.environ["ASYNCFABRIC_BACKEND"]).member.function_name
lambda_url = os.environ["AWS_ENDPOINT_URL_LAMBDA"]
try:
    reply = urllib.request.urlopen(
        f"{lambda_url}/2015-03-31/functions/{name}/invocations", data=b'{"not": "ours"}'
    )
    print(name, reply.status, reply.read().decode())
except urllib.error.HTTPError as error:
    print(name, error.code, error.headers["x-amzn-ErrorType"])
sys.exit(int(sys.argv[1]))
"""


@asynccontextmanager
async def dev(*arguments: str, **variables: str) -> AsyncGenerator[Process]:
    """Run the command; kill it if it doesn't end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _MAIN,
        "dev",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **variables},
        cwd=Path(__file__).parents[2],
    )
    try:
        async with asyncio.timeout(50):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def outcome(*arguments: str, **variables: str) -> tuple[int | None, str, str]:
    """Run the command to its end: status, stdout, stderr."""
    async with dev(*arguments, **variables) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def exports(process: Process) -> dict[str, str]:
    """Read the variables that it prints, and wait until it is ready."""
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"are running" in await process.stderr.readline()
    found: dict[str, str] = {}
    while "AWS_ENDPOINT_URL_S3" not in found:
        line = (await process.stdout.readline()).decode()
        word, assignment = shlex.split(line)
        assert word == "export"
        name, _, value = assignment.partition("=")
        found[name] = value
    return found


async def test_without_ministack() -> None:
    status, out, err = await outcome(PATH="/nowhere")
    assert (status, out) == (1, "")
    assert "pip install ministack" in err
    assert "--s3 URL" in err
    status, _, err = await outcome("--ministack", "/no/such/command")
    assert status == 1
    assert "--ministack /no/such/command is no command" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--faults", "thrown=1"], "'thrown=1' is not understood; write NAME=NUMBER"),
        (["--faults", "lost=often"], "'lost=often' is not understood"),
        (["--faults", "lost=2"], "add up to 1 at most"),
        (["--name", "a b"], "can't be called 'a b'"),
        (["--memory", "64"], "can't have 64 MB"),
        (["--concurrency", "0"], "lets nothing run"),
        (["--port", "65536"], "65536 is no port"),
        (["--s3-port", "-1"], "-1 is no port"),
        (["--", "/no/such/command"], "'/no/such/command' is no command"),
        ([], "see that an S3 server listens there"),
    ],
)
async def test_arguments_that_make_no_sense(arguments: list[str], says: str) -> None:
    status, _, err = await outcome("--s3", "http://127.0.0.1:1", *arguments)
    assert status == 1
    assert says in err
    assert "Traceback" not in err


async def test_a_command_is_run_in_the_cloud(ministack_url: str, tmp_path: Path) -> None:
    command = ["--", sys.executable, "-c", _PROGRAM, "5"]
    options = ["--s3", ministack_url, "--memory", "512", "--name", "mine"]
    status, out, err = await outcome(*options, *command, TMPDIR=str(tmp_path))
    assert (status, err) == (5, "")
    name, code, body = out.split(" ", 2)
    assert name.startswith("mine-w")
    assert name.endswith("-512")
    assert code == "200"
    assert '"refused"' in body  # so said a real worker
    assert [*tmp_path.iterdir()] == []


async def test_faults_on_request(ministack_url: str) -> None:
    command = ["--", sys.executable, "-c", _PROGRAM, "0"]
    status, out, _ = await outcome("--s3", ministack_url, "--faults", "throttled=1.0", *command)
    assert status == 0
    assert out.split()[1:] == ["429", "TooManyRequestsException"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_runs_until_it_is_stopped(
    number: signal.Signals, ministack_url: str, tmp_path: Path
) -> None:
    async with dev("--s3", ministack_url, TMPDIR=str(tmp_path)) as process:
        found = await exports(process)
        assert found["ASYNCFABRIC_BACKEND"].startswith("lambda://asyncfabric?")
        assert found["ASYNCFABRIC_STORAGE"].startswith("s3://asyncfabric-dev?")
        assert found["AWS_REGION"] == "us-east-1"
        process.send_signal(number)
        assert await process.wait() == 0
        assert [*tmp_path.iterdir()] == []


_TIDY = """
import sys
try:
    print("ready", flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    print("tidying", flush=True)
    sys.stdin.readline()
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("signals", "at_terminal", "status"),
    [([signal.SIGINT], True, 7), ([signal.SIGINT], False, 143), ([signal.SIGTERM], True, 143)],
)
async def test_a_command_that_got_ctrl_c_is_left_to_tidy_up(
    monkeypatch: pytest.MonkeyPatch, signals: list[int], at_terminal: bool, status: int
) -> None:
    started: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
    start = asyncio.create_subprocess_exec

    async def piped(*command: str, env: dict[str, str]) -> Process:
        started.set_result(await start(*command, env=env, stdin=PIPE, stdout=PIPE))
        return started.result()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", piped)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: at_terminal))
    command = [sys.executable, "-c", _TIDY]
    running = asyncio.ensure_future(run_command(command, {}, signals))
    process = await started
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert await process.stdout.readline() == b"tidying\n"
    running.cancel()
    await asyncio.sleep(0)  # it has seen that now
    if status == 7:
        process.stdin.write(b"\n")
    assert await running == status
    await process.communicate()


async def test_it_starts_s3_and_ends_it_even_when_killed(
    ministack_url: str, tmp_path: Path
) -> None:
    """`ministack_url` has seen to it that ministack is installed."""
    ministack = environment("ministack").with_name("ministack")
    async with dev("--ministack", str(ministack), TMPDIR=str(tmp_path)) as process:
        found = await exports(process)
        assert found["AWS_ENDPOINT_URL_S3"] != ministack_url
        with urllib.request.urlopen(f"{found['AWS_ENDPOINT_URL_S3']}/asyncfabric-dev") as reply:
            assert b"<ListBucketResult" in reply.read()
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("ministack" in " ".join(each.cmdline()) for each in family)
        process.kill()
        await process.wait()
        while not all(ended(each.pid) for each in family) or [*tmp_path.iterdir()]:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
