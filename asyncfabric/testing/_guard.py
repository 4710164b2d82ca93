"""A process that ends the workers when the driver has gone without doing so.

Workers that wait for work end by themselves when the front is gone. One that is busy, or that has
children, would not: nobody else is left who knows it after the driver was killed by SIGKILL.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys

_PROGRAM = """
import os, select, signal, sys
driver, root = int(sys.argv[1]), sys.argv[2]
workers = set()
text = b""
while True:
    if not select.select([0], [], [], 1.0)[0]:
        if os.getppid() != driver:  # a child of the driver's holds the pipe open
            break
        continue
    chunk = os.read(0, 65536)
    if not chunk:
        break
    *lines, text = (text + chunk).split(b"\\n")
    for line in lines:
        change = int(line)
        workers.add(change) if change > 0 else workers.discard(-change)
for worker in workers:
    try:
        os.killpg(worker, signal.SIGKILL)
    except OSError:
        pass
import shutil
shutil.rmtree(root, ignore_errors=True)
"""


class Guard:
    """The guard of one front: it is told of every worker, and deletes the directory `root`.

    Raises `OSError` where the system refuses a process.
    """

    def __init__(self, driver: int, root: str) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-I", "-S", "-c", _PROGRAM, str(driver), root],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            process_group=0,
            bufsize=0,
        )

    def add(self, pid: int) -> None:
        """Tell of a worker that leads a process group of its own."""
        self._tell(pid)

    def remove(self, pid: int) -> None:
        """Tell that a worker has ended; to be done before its process id is given up."""
        self._tell(-pid)

    def close(self) -> None:
        """End the guard: nothing is left to do."""
        self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, change: int) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(b"%d\n" % change)
