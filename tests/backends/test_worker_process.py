"""One worker process: what it dies of, and what stays open when it can't be started."""

import gc
import mmap
import signal
import subprocess
import tempfile
from types import SimpleNamespace
from typing import Any

import pytest

from asyncfabric import AttemptTimeout, ConfigurationError, OutOfMemory, WorkerCrashed
from asyncfabric.backends import open_backend
from asyncfabric.backends.local import LocalBackend, _process
from asyncfabric.backends.local._process import WorkerProcess, kills_for_memory
from tests.backends.helpers import descriptors


class Dead(WorkerProcess):
    """A process that has ended, without there having been one."""

    def __init__(self, code: int, kills: int) -> None:
        self.pid = 123
        self._kills = kills
        ended: Any = SimpleNamespace(returncode=code)
        self._process = ended


@pytest.mark.parametrize(
    ("code", "kills", "kind", "says"),
    [
        (-signal.SIGKILL, 5, OutOfMemory, "processes=N"),
        (-signal.SIGKILL, 4, WorkerCrashed, "SIGKILL"),
        (-signal.SIGSEGV, 5, WorkerCrashed, "SIGSEGV"),
        (-99, 5, WorkerCrashed, "signal 99"),
        (3, 5, WorkerCrashed, "status 3"),
        (0, 5, WorkerCrashed, "status 0"),
    ],
)
def test_obituaries(
    monkeypatch: pytest.MonkeyPatch, code: int, kills: int, kind: type[Exception], says: str
) -> None:
    monkeypatch.setattr(_process, "kills_for_memory", lambda: kills)
    error = Dead(code, kills=4).obituary()
    assert type(error) is kind
    assert says in str(error)
    assert "worker 123" in str(error)


def test_the_obituary_of_what_was_killed_for_its_time() -> None:
    error = Dead(-signal.SIGKILL, kills=kills_for_memory()).obituary(timed_out=1.5)
    assert isinstance(error, AttemptTimeout)
    assert "timeout=1.5 s" in str(error)


@pytest.mark.parametrize("fails", ["Popen", "TemporaryFile", "mmap"])
def test_a_start_that_fails_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    holder: Any = {"Popen": subprocess, "TemporaryFile": tempfile, "mmap": mmap}[fails]
    monkeypatch.setattr(holder, fails, refuse)
    gc.collect()
    before = descriptors()
    with pytest.raises(OSError, match="Too many open files"):
        WorkerProcess()
    assert descriptors() == before


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("locals://", "no backend is called"),
        ("local", "no backend is called"),
        ("local:/x", "no backend is called"),
        ("local://host", "nothing may follow"),
        ("local:///path", "nothing may follow"),
        ("local://?procs=3", "the only option is 'processes'"),
        ("local://?processes=0", "from 1 to 4096"),
        ("local://?processes=-1", "from 1 to 4096"),
        ("local://?processes=", "from 1 to 4096"),
        ("local://?processes=5000", "from 1 to 4096"),
        ("local://?processes=\u0665", "from 1 to 4096"),
        ("inline://?processes=2", "takes no options"),
    ],
)
def test_urls_that_make_no_sense(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        open_backend(url)


def test_urls() -> None:
    backend = open_backend("local://?processes=3")
    assert isinstance(backend, LocalBackend)
    assert backend.lanes == 3
    assert open_backend("local://").lanes >= 1
