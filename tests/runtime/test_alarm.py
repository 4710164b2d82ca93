"""The time limit of calls in a process that is not ours to end."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from asyncfabric_runtime._alarm import EXPIRED_STATUS, Alarm
from asyncfabric_runtime._limit import AttemptExpired
from tests.sources import ROOT

FAR = 600.0


@pytest.fixture
def alarm_for() -> Iterator[Callable[..., Alarm]]:
    """Make alarms, which are off at the end, and the process as it was."""
    before = signal.getsignal(signal.SIGALRM)
    made: list[Alarm] = []

    def make(timeout: float | None, seconds: float = FAR) -> Alarm:
        made.append(Alarm(timeout, perf_counter() + seconds))
        return made[-1]

    yield make
    for alarm in made:
        alarm.dismiss()
    signal.signal(signal.SIGALRM, before)


def test_a_call_in_time(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(30.0)
    assert alarm.begin(0, perf_counter())
    assert alarm.end() is None
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_call_that_is_late(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(0.02)
    assert alarm.begin(0, perf_counter())
    with pytest.raises(AttemptExpired):
        time.sleep(30)
    assert alarm.end() == 0.02
    # The next one has a limit of its own.
    assert alarm.begin(1, perf_counter())
    assert alarm.end() is None


def test_it_is_no_exception_that_user_code_catches() -> None:
    assert not issubclass(AttemptExpired, Exception)


def test_the_invocations_end_is_a_limit_too(alarm_for: Callable[..., Alarm]) -> None:
    for timeout in (30.0, None):
        alarm = alarm_for(timeout, 0.05)
        assert alarm.begin(0, perf_counter())
        with pytest.raises(AttemptExpired):
            time.sleep(30)
        left = alarm.end()
        assert left is not None
        assert left <= 0.05


def test_what_may_not_end_in_time_is_not_begun(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(30.0, 40.0)
    now = perf_counter()
    assert alarm.begin(0, now)
    assert alarm.begin(1, now + 5)
    assert not alarm.begin(2, now + 11)


def test_the_first_is_always_begun(alarm_for: Callable[..., Alarm]) -> None:
    assert alarm_for(30.0, 1.0).begin(0, perf_counter())


def test_without_a_timeout_the_calls_before_tell(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(None, 111.0)
    now = perf_counter()
    assert alarm.begin(0, now)
    assert alarm.begin(1, now + 20)  # the first took 20 s
    assert alarm.begin(2, now + 50)  # the second 30 s, and there are 60 left
    alarm.end()
    other = alarm_for(None, 100.0)
    now = perf_counter()
    assert other.begin(0, now)
    assert other.begin(1, now + 20)
    assert not other.begin(2, now + 70)  # 50 s, and there are 30 left
    other.end()


def test_short_calls_go_on_to_the_end(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(None, 10.0)
    now = perf_counter()
    assert all(alarm.begin(n, now + n / 100) for n in range(990))
    assert not alarm.begin(990, now + 9.999)


def test_an_alarm_that_comes_late_harms_nobody(alarm_for: Callable[..., Alarm]) -> None:
    alarm = alarm_for(30.0)
    assert alarm.begin(0, perf_counter())
    alarm.end()
    signal.raise_signal(signal.SIGALRM)
    assert alarm.end() is None


def end_of(body: str) -> "subprocess.CompletedProcess[str]":
    """Run a program that sets an alarm of 0.1 s."""
    program = f"""
from collections import deque
from itertools import repeat
from time import perf_counter, sleep
from asyncfabric_runtime._alarm import Alarm
alarm = Alarm({{timeout}}, perf_counter() + {{seconds}})
{body}
"""
    return run(program.format(timeout=0.1, seconds=60))


def run(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program with the runtime on its path."""
    path = ":".join(str(Path(ROOT) / folder) for folder in ("runtime", "storage"))
    command: list[Any] = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": path}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=50, check=False
    )


def test_a_call_that_catches_everything() -> None:
    ended = end_of(
        "alarm.begin(0, perf_counter())\n"
        "while True:\n    try:\n        sleep(60)\n    except BaseException:\n        pass"
    )
    assert ended.returncode == EXPIRED_STATUS
    assert "went on after its timeout" in ended.stderr


@pytest.mark.parametrize(
    "begin", ["alarm.begin(0, perf_counter())", "alarm.begin_together(perf_counter())"]
)
def test_a_call_that_holds_the_interpreter(begin: str) -> None:
    ended = end_of(f"{begin}\ndeque(repeat(0), maxlen=0)")
    assert ended.returncode == 1
    assert ended.stderr.startswith("Timeout (0:00:03")  # what the driver knows it by
    assert "Traceback" not in ended.stderr


def test_loading_that_holds_the_interpreter() -> None:
    ended = run(
        "from collections import deque\nfrom itertools import repeat\n"
        "from time import perf_counter\nfrom asyncfabric_runtime._alarm import Alarm\n"
        "alarm = Alarm(None, perf_counter() + 0.1)\ndeque(repeat(0), maxlen=0)"
    )
    assert ended.returncode == 1
    assert "Timeout (" in ended.stderr


def test_nothing_ends_what_was_dismissed() -> None:
    ended = end_of(
        "alarm.begin(0, perf_counter())\nalarm.dismiss()\nsleep(3.5)\nprint('still here')"
    )
    assert (ended.returncode, ended.stdout) == (0, "still here\n")
