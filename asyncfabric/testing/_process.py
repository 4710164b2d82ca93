"""One worker process: its start, its output, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ._guard import Guard

_SIGNALS = {
    signal.SIGHUP: "hangup",
    signal.SIGINT: "interrupt",
    signal.SIGQUIT: "quit",
    signal.SIGILL: "illegal instruction",
    signal.SIGTRAP: "trace/breakpoint trap",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "floating point exception",
    signal.SIGKILL: "killed",
    signal.SIGUSR1: "user defined signal 1",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGUSR2: "user defined signal 2",
    signal.SIGPIPE: "broken pipe",
    signal.SIGALRM: "alarm clock",
    signal.SIGTERM: "terminated",
}
"""Signals by the words of Go, in which Lambda's supervisor is written."""

_CHUNK = 65536


class WorkerProcess:
    """A process that leads a group of its own; the group ends with it.

    `on_output` is called with what it writes to stdout and stderr; `on_exit` once, when it has
    ended and all that it wrote was told. Raises `OSError` where the system refuses a process.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: str,
        environment: Mapping[str, str],
        guard: Guard,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._guard = guard
        self._on_output = on_output
        self._on_exit = on_exit
        self._output, written = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - what the test asked for
                list(command),
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                process_group=0,
            )
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(written)
        self.pid: int = self._process.pid
        guard.add(self.pid)
        os.set_blocking(self._output, False)
        self._handle = os.pidfd_open(self.pid)
        self._loop.add_reader(self._output, self.read)
        self._loop.add_reader(self._handle, self._ended)

    def kill(self) -> None:
        """End the process and its children at once; `on_exit` tells when that has happened."""
        if self._handle >= 0:
            self._kill_group()

    def read(self) -> None:
        """Tell what was written up to now."""
        with contextlib.suppress(BlockingIOError):
            while self._output >= 0:
                text = os.read(self._output, _CHUNK)
                if not text:
                    self._loop.remove_reader(self._output)
                    os.close(self._output)
                    self._output = -1
                    return
                self._on_output(text)

    def reason(self) -> str:
        """Say how it ended, in Lambda's words."""
        code = self._process.returncode
        if code > 0:
            return f"Runtime exited with error: exit status {code}"
        if code == 0:
            return "Runtime exited without providing a reason"
        words = _SIGNALS.get(signal.Signals(-code)) if -code in _NUMBERS else None
        return f"Runtime exited with error: signal: {words or f'signal {-code}'}"

    def _kill_group(self) -> None:
        # Until it is waited for the process id, and with it the group's, is taken.
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)

    def _ended(self) -> None:
        self._kill_group()
        self.read()
        if self._output >= 0:  # a child that left the group holds it open
            self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1
        self._loop.remove_reader(self._handle)
        os.close(self._handle)
        self._handle = -1
        self._guard.remove(self.pid)
        self._process.wait()
        self._on_exit()


_NUMBERS = frozenset(signal.Signals)
