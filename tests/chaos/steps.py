"""The steps of a process, counted, and what befalls it at one of them.

A step is what a process is about to do to a file below one directory: opening, linking, renaming,
removing, listing. The interpreter's audit hooks tell it, so that nothing in the code under test
knows, and no step of it is left out.
"""

import errno
import fcntl
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Role = Literal["driver", "worker"]
Deed = Literal["driver", "self", "worker", "all", "full"]
"""Who is killed: the driver, the process that is at the step, a worker, the driver and its workers;
or, from that step on, nobody, but the disk is full."""

_VARIABLE = "CHAOS_PLAN"
_EVENTS = frozenset(
    {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir"}
)
_WRITES = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Fate:
    """What happens at one step.

    Attributes:
        role: whose steps are counted.
        step: at which of them, from 1; it is not taken any more.
        deed: what happens.
    """

    role: Role
    step: int
    deed: Deed

    def __str__(self) -> str:
        return f"{self.role}:{self.step}:{self.deed}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a driver and its workers are to count, and what befalls them.

    Attributes:
        store: the directory in which steps are taken.
        counts: the directory where they are counted, a file for each role.
        fate: what happens; None: they are only counted.
    """

    store: str
    counts: str
    fate: Fate | None

    def announce(self) -> None:
        """Begin to count in this process, the driver, and in the workers that it starts."""
        os.environ[_VARIABLE] = json.dumps({**asdict(self), "driver": os.getpid()})
        watch("driver")

    def steps(self, role: Role) -> int:
        """Return how many steps there were."""
        try:
            return (Path(self.counts) / role).stat().st_size
        except FileNotFoundError:
            return 0


_watching = False


def watch(role: Role) -> None:
    """Count the steps of this process from now on, if a driver has announced it."""
    global _watching  # noqa: PLW0603 - an audit hook is the process's, and stays
    text = os.environ.get(_VARIABLE)
    if text is None or _watching:
        return
    _watching = True
    plan = json.loads(text)
    fate = None if plan["fate"] is None else Fate(**plan["fate"])
    sys.addaudithook(_Hook(plan["store"], plan["counts"], role, fate, plan["driver"]))


class _Hook:
    def __init__(self, store: str, counts: str, role: Role, fate: Fate | None, driver: int) -> None:
        self.prefix = store.rstrip("/") + "/"
        self.role = role
        self.fate = fate
        self.driver = driver
        self.full = Path(counts) / "full"
        self.lock = threading.Lock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.count = os.open(Path(counts) / role, flags, 0o600)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _EVENTS or not str(arguments[0]).startswith(self.prefix):
            return
        with self.lock:
            os.write(self.count, b".")
            # Appending moves to the end, so this is the number that nobody else has.
            step = os.lseek(self.count, 0, os.SEEK_CUR)
        fate = self.fate
        if fate is None:
            return
        if (fate.role, fate.step) == (self.role, step):
            self.do(fate.deed)
        if fate.deed == "full" and event == "open" and arguments[2] & _WRITES:
            self.refuse(arguments[0])

    def do(self, deed: Deed) -> None:
        if deed == "full":
            os.close(os.open(self.full, os.O_CREAT | os.O_WRONLY, 0o600))
        elif deed == "worker":
            kill([pid for pid in session_of(self.driver) if pid != self.driver][-1:])
        elif deed == "driver":
            kill([self.driver])
        else:
            kill([] if deed == "self" else session_of(self.driver))
            kill([os.getpid()])
            while True:  # another thread may be told of the signal first
                signal.pause()

    def refuse(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.full.stat()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def kill(pids: list[int]) -> None:
    """Kill processes, without a warning."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def session_of(driver: int) -> list[int]:
    """Return the processes of a driver's session that are left: the driver, and all it started."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                text = (folder / "stat").read_text(encoding="ascii", errors="replace")
                state, _, _, session = text.rpartition(")")[2].split()[:4]
                if int(session) == driver and state != "Z":
                    found.append(int(folder.name))
    return sorted(found)


def wait_for(lock: Path) -> None:
    """Wait until nobody holds a file's lock."""
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
