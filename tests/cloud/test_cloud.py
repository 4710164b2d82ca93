"""The emulators: made once, there when a test asks, gone with the run."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from .environments import EMULATORS, Emulator, environment, pins
from .fixtures import Bucket, StartMinistack
from .servers import request, running

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("emulator", EMULATORS)
def test_pins_are_exact_and_name_no_address(emulator: Emulator) -> None:
    text = pins(emulator).read_text(encoding="utf-8")
    requirements = text.replace("\\\n", " ").splitlines()
    assert all(re.match(r"[\w.-]+==\S+ .*--hash=sha256:", each) for each in requirements)
    assert "://" not in text


def test_an_environment_is_made_once_and_again_for_other_pins(tmp_path: Path) -> None:
    said: list[str] = []
    requirements = tmp_path / "pins.txt"
    requirements.write_text("", encoding="utf-8")

    def ask() -> Path:
        return environment("moto", parent=tmp_path, requirements=requirements, say=said.append)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(said) == 1
    subprocess.run([ask(), "-c", ""], check=True)
    assert len(said) == 1
    requirements.write_text("./nowhere==1\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="nowhere"):
        ask()
    assert len(said) == 2


def test_buckets_are_there_and_empty(bucket: Bucket) -> None:
    status, body = request(bucket.cloud.url, "GET", f"/{bucket.name}?list-type=2")
    assert status == 200
    assert bucket.name.encode() in body
    assert b"<Contents>" not in body


def test_a_ministack_of_ones_own(start_ministack: StartMinistack, ministack_url: str) -> None:
    own = start_ministack(AUTH="true")
    assert own == start_ministack(AUTH="true")
    assert own != ministack_url
    scope = "unknown/20260101/us-east-1/s3/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=0"}
    assert request(own, "PUT", "/a-bucket", headers)[0] >= 400
    assert request(ministack_url, "PUT", "/a-bucket", headers)[0] == 200


def test_a_server_that_cannot_start_tells_why() -> None:
    with (
        pytest.raises(RuntimeError, match="No module named 'moto'"),
        running("moto", python=Path(sys.executable)),
    ):
        pass


@pytest.mark.parametrize("end", ["closed", "interrupted", "killed"])
def test_no_server_outlives_its_starter(end: str) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.cloud.servers"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert starter.stdin is not None
    assert starter.stdout is not None
    with starter:
        url = starter.stdout.readline().strip()
        assert request(url, "GET", "/_ministack/health")[0] == 200
        servers = psutil.Process(starter.pid).children()
        assert len(servers) == 1
        if end == "closed":
            starter.stdin.close()
        else:
            starter.send_signal(signal.SIGINT if end == "interrupted" else signal.SIGKILL)
    gone, alive = psutil.wait_procs(servers, timeout=20)
    for process in alive:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    assert gone == servers
