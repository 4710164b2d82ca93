"""What stands behind a `LambdaFront`: its server, functions and workers."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_runtime import PYTHON, WIRE_VERSION

from . import _names as names
from ._admission import Admission
from ._api import InvokeApi
from ._counters import Tally
from ._faults import plan_of
from ._function import Function
from ._host import Host
from ._names import LATEST
from ._settings import FunctionSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from aiohttp.web import BaseRequest, Response

    from ._faults import Fault
    from ._host import Account
    from ._settings import Limits

_HANDLER = "asyncfabric_runtime._aws_lambda.handler"
_BACKLOG = 4096
_AT_ONCE = 0.001
"""Seconds that connections are given to end by themselves. aiohttp takes 0 for no limit, and then
waits until each client that keeps an idle connection gives it up."""


class Service:
    """The simulated service. Without IO until it is opened.

    Attributes:
        port: where it listens, once it is open.
        account: whose it is.
        tally: what it has done.
        plan: what befalls the request of a number.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        faults: Callable[[int], Fault | None] | Iterable[Fault | None] | None,
        timeout: float,
        environment: Mapping[str, str],
        account: Account,
        port: int,
        on_log: Callable[[str, str], None] | None,
    ) -> None:
        if not timeout > 0:
            raise ConfigurationError(f"timeout={timeout} is not positive; give seconds")
        self.port: int = port
        self.account: Account = account
        self.tally: Tally = Tally()
        self.plan: Callable[[int], Fault | None] = plan_of(faults)
        self._limits = limits
        self._timeout = timeout
        self._environment = dict(environment)
        self._on_log = on_log
        self._admission = Admission(limits, self.tally)
        self._settings: dict[str, FunctionSettings] = {}
        self._versions: dict[tuple[str, str], Function] = {}
        self._retired: list[Function] = []
        self._tasks: set[asyncio.Task[object]] = set()
        self._host: Host | None = None

    @property
    def is_open(self) -> bool:
        """Whether it serves."""
        return self._host is not None

    def register(self, name: str, settings: FunctionSettings) -> None:
        """Add or change a function; see `LambdaFront.register`."""
        parsed = names.parse(name)
        if parsed is None or parsed.name != name:
            raise ConfigurationError(
                f"{name!r} is no name of a function; use letters, digits, '-' and '_'"
            )
        wanted = settings.reserved_concurrency
        left = self._admission.unreserved(without=name)
        if wanted is not None and wanted > left:
            raise ConfigurationError(
                f"{name} can't reserve a concurrency of {wanted}: the account has {left} left; "
                "give LambdaFront(limits=Limits(concurrency=...)) a larger one"
            )
        self._admission.reserve(name, wanted)
        self._settings[name] = settings
        for key in [each for each in self._versions if each[0] == name]:
            function = self._versions.pop(key)
            function.retire()
            self._retired.append(function)

    def find(self, name: str, qualifier: str | None) -> Function | None:
        """Return the function, None where there is none of that name and version."""
        host = self._host
        settings = self._settings.get(name) or self._member(name)
        if settings is None or host is None:
            return None
        version = settings.aliases.get(qualifier or LATEST, qualifier or LATEST)
        if version != LATEST and version not in settings.aliases.values():
            return None
        function = self._versions.get((name, version))
        if function is None:
            function = self._versions[name, version] = Function(name, version, settings, host)
        return function

    def spawn(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run something that no request waits for."""
        self._track(asyncio.get_running_loop().create_task(_alone(coroutine)))

    async def recycle(self) -> None:
        """End all idle environments."""
        for function in self._versions.values():
            await function.recycle()

    async def open(self) -> None:
        """Begin to serve."""
        if self._host is not None:
            raise RuntimeError("this LambdaFront is open already; make another one")
        _check_machine()
        from aiohttp import web

        host = Host(
            account=self.account,
            limits=self._limits,
            tally=self.tally,
            environment=self._environment,
            on_log=self._on_log,
        )
        self._api = InvokeApi(self, host, self._admission)
        self._web = web.Server(self._handle, access_log=None)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._web, "127.0.0.1", self.port, backlog=_BACKLOG
            )
        except BaseException:
            host.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._host = host

    async def aclose(self) -> None:
        """Stop serving and end every worker."""
        host, self._host = self._host, None
        if host is None:
            return
        self._server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._web.shutdown(_AT_ONCE)
        for function in (*self._versions.values(), *self._retired):
            await function.aclose()
        self._versions.clear()
        self._retired.clear()
        host.close()

    async def _handle(self, request: BaseRequest) -> Response:
        task = asyncio.current_task()
        if task is not None:
            self._track(task)
        return await self._api.handle(request)

    def _track(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _member(self, name: str) -> FunctionSettings | None:
        """Return the settings of a member of the family that this driver can use."""
        from asyncfabric.aws._family import LEAST_MEMORY, MOST_MEMORY, Member

        found = Member.parse(name)
        if (
            found is None
            or (found.wire, found.python) != (WIRE_VERSION, PYTHON)
            or not LEAST_MEMORY <= found.memory <= MOST_MEMORY
        ):
            return None
        return FunctionSettings(
            handler=_HANDLER, memory=found.memory, timeout=self._timeout, event_retries=0
        )  # as `asyncfabric deploy` makes them


async def _alone(coroutine: Coroutine[object, object, object]) -> None:
    """Run what has nobody to tell that this machine can't start another process."""
    with suppress(OSError):
        await coroutine


def _check_machine() -> None:
    if sys.platform != "linux":
        raise ConfigurationError(
            "LambdaFront runs on Linux only, as Lambda's workers do; use the local backend here"
        )
    for name in ("aiohttp", "awslambdaric"):
        if find_spec(name) is None:
            raise ConfigurationError(
                f"LambdaFront needs {name}, which is missing; pip install 'asyncfabric[testing]'"
            )
