"""Starts emulators, waits until they answer, stops them."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.leaks import KEPT

from .environments import Emulator, environment

_SERVE = Path(__file__).with_name("serve.py")
_READY = 60.0  # seconds until a server that does not answer is an error
_ATTEMPTS = 5  # another process may take a free port before the server does


@dataclass(frozen=True, slots=True)
class _Command:
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    health: str


def _command(emulator: Emulator, port: int) -> _Command:
    if emulator == "moto":
        arguments = ("moto.server", "-H", "127.0.0.1", "-p", str(port))
        return _Command(arguments, {}, "/moto-api/")
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
        "LAMBDA_ACCOUNT_CONCURRENCY": "16",
    }
    return _Command(("ministack.app",), settings, "/_ministack/health")


@contextmanager
def running(
    emulator: Emulator, extra: Mapping[str, str] | None = None, *, python: Path | None = None
) -> Generator[str]:
    """Run an emulator with `extra` environment variables; yields its URL, without a final slash.

    It ends with the block, and also when this process is killed.

    Raises:
        RuntimeError: it can't be started; the message holds the end of its output.
    """
    python = python or environment(emulator)
    directory = Path(tempfile.mkdtemp(prefix=f"{emulator}-"))
    log = directory / "log"
    try:
        for _ in range(_ATTEMPTS):
            port = _free_port()
            process = _start(emulator, python, port, directory, extra or {})
            try:
                if _ready(process, port, _command(emulator, port).health):
                    yield f"http://127.0.0.1:{port}"
                    return
            finally:
                _stop(process)
            if "already in use" not in _tail(log):
                break
        msg = f"{emulator} did not start; its last words:\n{_tail(log)}"
        raise RuntimeError(msg)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(
    emulator: Emulator, python: Path, port: int, directory: Path, extra: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    command = _command(emulator, port)
    # Nothing of AWS that this shell happens to have reaches an emulator.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), str(_SERVE), *command.arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**inherited, "TMPDIR": str(directory), **command.environment, **extra},
            start_new_session=True,
        )
    assert process.stdin is not None
    KEPT.processes.add(process.pid)
    KEPT.descriptors.add(process.stdin.fileno())
    return process


def _stop(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    KEPT.descriptors.discard(process.stdin.fileno())
    process.stdin.close()  # which ends it; see serve.py
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    KEPT.processes.discard(process.pid)


def _ready(process: "subprocess.Popen[bytes]", port: int, path: str) -> bool:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline:
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            pass
        else:
            return False
        try:
            status, _ = request(f"http://127.0.0.1:{port}", "GET", path)
        except (OSError, http.client.HTTPException):
            continue
        if status == http.HTTPStatus.OK:
            return True
    return False


def request(
    url: str, method: str, path: str, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Make one request, return its status and body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-3000:]


if __name__ == "__main__":
    with running("moto" if "moto" in sys.argv else "ministack") as address:
        print(address, flush=True)
        sys.stdin.read()
