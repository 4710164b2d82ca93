"""Starting, setting and asking the fake endpoint from the process that measures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, fields
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.fakes.certificate import make_certificate

if TYPE_CHECKING:
    from collections.abc import Generator

BUCKET = "bench"
REGION = "us-east-1"
_ROOT = Path(__file__).resolve().parent.parent.parent
_START_SECONDS = 30
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIABENCHBENCHBENCH0",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the endpoint has seen since the last reset.

    `first` and `last` are the arrivals of invocations by `time.monotonic()`, 0 without any;
    `request_bytes` those of their payloads, `object_bytes` those written to objects.
    """

    connections: int
    handshakes: int
    resumed: int
    objects: int
    object_bytes: int
    object_requests: int
    requests: int
    throttled: int
    request_bytes: int
    peak_in_flight: int
    first: float
    last: float


class Endpoint:
    """A running endpoint.

    Attributes:
        url: where it is, by plain HTTP or by TLS.
        certificate: a file with the certificate to trust; None for plain HTTP.
    """

    def __init__(self, ports: dict[str, int], certificate: Path | None) -> None:
        self._plain = ports["plain"]
        self.certificate = certificate
        self.url = (
            f"http://127.0.0.1:{self._plain}"
            if certificate is None
            else f"https://127.0.0.1:{ports['tls']}"
        )

    @property
    def plain_url(self) -> str:
        """Where it is by plain HTTP, whatever `url` says."""
        return f"http://127.0.0.1:{self._plain}"

    def set(
        self, *, hold: float = 0.0, throttled: float = 0.0, seed: int = 2017, together: int = 0
    ) -> None:
        """Hold invocations for so many seconds; refuse this share of them with 429.

        With `together`, as soon as so many are in flight all are answered, before their time.
        """
        settings = {"hold": hold, "throttled": throttled, "seed": seed, "together": together}
        self._ask("settings", settings)

    def counts(self) -> Counts:
        """Return what was seen since the last reset."""
        answer = self._ask("counts", None)
        return Counts(**{field.name: answer[field.name] for field in fields(Counts)})

    def reset(self) -> None:
        """Count from nothing."""
        self._ask("reset", None)

    def _ask(self, what: str, settings: dict[str, Any] | None) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self._plain, timeout=_START_SECONDS)
        try:
            connection.request("PUT", f"/-/{what}", json.dumps(settings))
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer


@contextmanager
def running_endpoint(
    *, hold: float = 0.0, throttled: float = 0.0, seed: int = 2017, tls: bool = False
) -> Generator[Endpoint]:
    """Run an endpoint in a process of its own, with credentials for it in the environment."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder)) if tls else None
        settings = {
            "hold": hold,
            "throttled": throttled,
            "seed": seed,
            "together": 0,
            "certificate": None if certificate is None else str(certificate),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "bench.fakes", json.dumps(settings)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            # it ends with its standard input, which leaving closes
            readable, _, _ = select.select([process.stdout], [], [], _START_SECONDS)
            line = process.stdout.readline() if readable else b""
            if not line:
                process.kill()
                raise RuntimeError("the fake endpoint did not start")
            endpoint = Endpoint(json.loads(line), certificate)
            with _environment(certificate):
                yield endpoint


@contextmanager
def _environment(certificate: Path | None) -> Generator[None]:
    variables = dict(_ENVIRONMENT)
    if certificate is not None:
        variables["SSL_CERT_FILE"] = str(certificate)
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
