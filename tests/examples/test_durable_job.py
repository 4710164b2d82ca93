"""The job that outlives its program: killed in its middle, and run again."""

import re
import time
from pathlib import Path

from .running import finish, kill, run, start

KEY = {"ASYNCFABRIC_KEY": "5a" * 32}


def _told(output: str) -> tuple[str, int, int]:
    """Return how many primes there are, how many blocks, and how many were finished before."""
    primes = re.search(r"^([\d,]+) primes below", output, re.MULTILINE)
    blocks = re.search(r"^(\d+) blocks; (\d+) had been", output, re.MULTILINE)
    assert primes is not None, output
    assert blocks is not None, output
    return primes[1], int(blocks[1]), int(blocks[2])


def test_killed_it_goes_on(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = tmp_path / "primes"
    process = start(scratch, "durable_job", str(store), where=KEY)
    deadline = time.monotonic() + 30
    while len(list(store.glob("jobs/*/done/*"))) < 20:
        assert process.poll() is None, finish(process, scratch)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    kill(process)  # SIGKILL, the driver and its workers
    primes, blocks, before = _told(run(scratch, "durable_job", str(store), where=KEY))
    assert (primes, blocks) == ("5,761,455", 500)
    assert 20 <= before < 500
    assert _told(run(scratch, "durable_job", str(store), where=KEY)) == (primes, 500, 500)


def test_other_sizes_are_other_jobs(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for below, expected in ((10**6, "78,498"), (10**7, "664,579")):
        arguments = (str(tmp_path / "primes"), f"--below={below}")
        primes, _, before = _told(run(scratch, "durable_job", *arguments, where=KEY))
        assert (primes, before) == (expected, 0)
