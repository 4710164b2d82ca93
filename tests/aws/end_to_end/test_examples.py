"""The examples, unchanged, on Lambda and S3: where they run is said by the environment alone."""

import json
import re
import signal
from pathlib import Path
from urllib.request import urlopen

import pytest

from examples.service import BLOCK, hits
from tests.examples import running
from tests.examples.running import run

pytestmark = pytest.mark.timeout(120)
Environment = dict[str, str]


def test_quickstart(tmp_path: Path, environment: Environment) -> None:
    assert float(run(tmp_path, "quickstart", where=environment)) == pytest.approx(3.14159, abs=0.01)


def test_monte_carlo_has_the_same_results_to_the_last_bit(
    tmp_path: Path, environment: Environment
) -> None:
    there = run(tmp_path, "monte_carlo", "--resamples=200", where=environment)
    here = run(tmp_path, "monte_carlo", "--resamples=200", "--backend=inline://")
    assert _fingerprint(there) == _fingerprint(here)


def _fingerprint(output: str) -> str:
    found = re.search(r"^fingerprint (\w{64})$", output, re.MULTILINE)
    assert found is not None, output
    return found[1]


def test_price_options(tmp_path: Path, environment: Environment) -> None:
    output = run(tmp_path, "price_options", "--seeds=200", where=environment)
    assert "checked: within 4 standard errors" in output


def test_service(tmp_path: Path, environment: Environment) -> None:
    server = running.start(tmp_path, "service", "--port=0", where=environment)
    try:
        assert server.stdout is not None
        address = None
        while address is None and (line := server.stdout.readline()):
            address = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
        assert address is not None
        answers = [_get(f"{address[1]}/estimate?samples=400000&seed=7") for _ in range(2)]
        server.send_signal(signal.SIGTERM)
        output = running.finish(server, tmp_path)
    finally:
        running.kill(server)
    assert answers[0] == answers[1]
    inside = sum(hits(7, block, BLOCK) for block in range(4))
    assert json.loads(answers[0])["pi"] == pytest.approx(4 * inside / 400_000)
    assert "Traceback" not in output, output


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("shared_counter", ["--calls=10"]),
        ("hogwild_text", ["--paragraphs=1000", "--epochs=2"]),
        ("train_digits", ["--epochs=1"]),
    ],
)
def test_parameter_servers_on_a_redis_that_the_functions_reach(
    tmp_path: Path, environment: Environment, redis_url: str, name: str, arguments: list[str]
) -> None:
    run(tmp_path, name, *arguments, where={**environment, "ASYNCFABRIC_REDIS": redis_url})


def test_a_parameter_server_without_a_redis_says_what_it_needs(
    tmp_path: Path, environment: Environment
) -> None:
    program = running.start(tmp_path, "top_k", where=environment)
    output = running.finish(program, tmp_path)
    assert program.returncode == 1
    assert "the URL of a Redis that they can reach" in output.splitlines()[-1]


def _get(url: str) -> str:
    with urlopen(url, timeout=60) as response:
        text: str = response.read().decode()
        return text
