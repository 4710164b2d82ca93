"""What the environments of one front share: limits, directory, guard, memory watch."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, Protocol

import asyncfabric_runtime
import asyncfabric_storage

from ._guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._counters import Tally
    from ._settings import Limits

_INHERITED = ("PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
"""Variables without which the driver's interpreter may not work, or not as fast."""

_STEP = 0.02
_MOST = 0.001
"""Memory is looked at so often, and for so long at most: where there are many environments, each
has its turn less often. In seconds."""


class Account(NamedTuple):
    """Whose cloud this is."""

    region: str
    number: str


class Watched(Protocol):
    """What the memory watch looks at: see `Environment`."""

    def check_memory(self) -> None:
        """Measure, and end what occupies too much."""
        ...


class Host:
    """One machine of the simulated cloud.

    `starting` is held by environments while they start.

    Raises `OSError` where the system refuses a directory or a process.
    """

    def __init__(
        self,
        *,
        account: Account,
        limits: Limits,
        tally: Tally,
        environment: Mapping[str, str],
        on_log: Callable[[str, str], None] | None,
    ) -> None:
        self.account: Account = account
        self.limits: Limits = limits
        self.tally: Tally = tally
        self.on_log: Callable[[str, str], None] | None = on_log
        self.busy: set[Watched] = set()
        # More at a time would only share the cores, and take so long that Lambda gives them up.
        self.starting: asyncio.Semaphore = asyncio.Semaphore(2 * (os.cpu_count() or 1))
        self.root: str = tempfile.mkdtemp(prefix="asyncfabric-front-")
        self.empty: str = str(Path(self.root) / "task")
        os.mkdir(self.empty)  # noqa: PTH102 - a string as all paths here
        try:
            self.guard: Guard = Guard(os.getpid(), self.root)
        except BaseException:
            shutil.rmtree(self.root, ignore_errors=True)
            raise
        packages = (asyncfabric_runtime, asyncfabric_storage)
        path = dict.fromkeys(str(Path(str(each.__file__)).parent.parent) for each in packages)
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.environment: dict[str, str] = {
            **inherited,
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(path),
            "AWS_REGION": account.region,
            "AWS_DEFAULT_REGION": account.region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python3.{sys.version_info.minor}",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            **environment,
        }
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._turn: list[Watched] = []
        self._made = 0

    def directory(self) -> str:
        """Make a private directory for an environment: its /tmp."""
        self._made += 1
        path = Path(self.root) / f"tmp-{self._made}"
        path.mkdir()
        return str(path)

    def watch(self, environment: Watched) -> None:
        """Begin to look at the memory of an environment that has something to do."""
        self.busy.add(environment)
        if self._timer is None:
            self._turn = [environment]
            self._timer = self._loop.call_later(_STEP, self._look)

    def rest(self, environment: Watched) -> None:
        """Stop looking."""
        self.busy.discard(environment)

    def close(self) -> None:
        """Delete the directory and end the guard; every environment has ended."""
        if self._timer is not None:
            self._timer.cancel()
        shutil.rmtree(self.root, ignore_errors=True)
        self.guard.close()

    def _look(self) -> None:
        until = perf_counter() + _MOST
        while self._turn and perf_counter() < until:
            environment = self._turn.pop()
            if environment in self.busy:
                environment.check_memory()
        if not self._turn:
            self._turn = list(self.busy)
        self._timer = self._loop.call_later(_STEP, self._look) if self.busy else None
