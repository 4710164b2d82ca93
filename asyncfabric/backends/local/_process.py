"""One worker process: its start, its sockets, its end."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import asyncfabric_runtime
import asyncfabric_storage
from asyncfabric._exceptions import AttemptTimeout, OutOfMemory, WorkerCrashed
from asyncfabric_runtime._watchdog import RETIRED

if TYPE_CHECKING:
    from collections.abc import Callable

_SEND_BUFFER = 512 * 1024
"""Bytes a socket takes in before its writer has to wait; the system may grant less. Large arrays
then go over in a few steps. Buffers of a megabyte and more were slower again."""

_START = (
    "import sys; sys.path[:0] = {path!r}; from asyncfabric_runtime._worker import main; main({fds})"
)


_WITHHELD = frozenset({"ASYNCFABRIC_KEY"})
"""Variables of the driver that its workers don't inherit: the master key of durable jobs."""


class WorkerProcess:
    """A spawned worker: a fresh interpreter that imports the runtime and nothing of the user's.

    Raises `OSError` where the system refuses a process or a descriptor.

    Attributes:
        work: our end of the stream of envelopes and outcomes.
        control: our end of the stream of recalls.
        page: memory shared with the worker, where it announces the call it is at.
    """

    def __init__(self) -> None:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            work, their_work = _socket_pair(ours, theirs)
            control, their_control = _socket_pair(ours, theirs)
            self.work: socket.socket = work
            self.control: socket.socket = control
            file = theirs.enter_context(tempfile.TemporaryFile())
            file.truncate(mmap.PAGESIZE)
            self._map = ours.enter_context(mmap.mmap(file.fileno(), mmap.PAGESIZE))
            self.page: memoryview[int] = memoryview(self._map).cast("q")
            ours.callback(self.page.release)
            self.page[0] = -1
            inherited = (their_work.fileno(), their_control.fileno(), file.fileno())
            packages = (asyncfabric_runtime, asyncfabric_storage)
            path = [str(Path(str(package.__file__)).parent.parent) for package in packages]
            self._kills = kills_for_memory()
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    sys.executable,
                    "-P",  # modules of the working directory don't hide the standard library's
                    "-c",
                    _START.format(path=path, fds=", ".join(map(str, inherited))),
                ],
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in os.environ if name not in _WITHHELD},
                pass_fds=inherited,
                # Out of the terminal's process group: Ctrl-C is for the driver to handle.
                process_group=0,
            )
            ours.pop_all()  # they stay open: the worker is there
        self.pid: int = self._process.pid

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` from a thread when the process has ended.

        The end of its stream is no proof: a child of the worker's own may hold the socket open.
        """

        def wait() -> None:
            self.wait()
            on_exit()

        threading.Thread(target=wait, name=f"asyncfabric-wait-{self.pid}", daemon=True).start()

    def wait(self) -> None:
        """Wait until the process has ended, blocking."""
        self._process.wait()

    def kill(self) -> None:
        """End the process at once, whatever it does."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def release(self) -> None:
        """Close what we hold of it."""
        self.control.close()
        self.work.close()
        self.page.release()
        self._map.close()

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.returncode is not None

    @property
    def retired(self) -> bool:
        """Whether it ended itself after a call timed out."""
        return self._process.returncode == RETIRED

    def obituary(self, *, timed_out: float | None = None) -> Exception:
        """Say what the process died of, as the exception of the call it was at."""
        code = self._process.returncode
        if timed_out is not None:
            return AttemptTimeout(
                f"the attempt did not finish within timeout={timed_out:g} s, nor could the worker "
                f"interrupt it, so worker {self.pid} was killed; give a larger timeout= or smaller "
                "inputs"
            )
        if code is not None and code < 0:
            name = _signal_name(-code)
            if -code == signal.SIGKILL and kills_for_memory() > self._kills:
                return OutOfMemory(
                    f"worker {self.pid} was killed because the machine ran out of memory; use "
                    "fewer processes (local://?processes=N) or smaller inputs"
                )
            return WorkerCrashed(
                f"worker {self.pid} died of {name} while it ran this call; what it wrote last is "
                "on the driver's standard error"
            )
        return WorkerCrashed(
            f"worker {self.pid} ended with status {code} while it ran this call: the function, or "
            "a library it uses, ended the process (os._exit?)"
        )


def _socket_pair(
    ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    here, there = socket.socketpair()
    here.setblocking(False)  # noqa: FBT003 - the standard library's signature
    for end in (here, there):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return ours.enter_context(here), theirs.enter_context(there)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kills_for_memory() -> int:
    """Return how many processes the kernel killed for lack of memory; 0 where it doesn't tell."""
    try:
        text = Path("/proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0
