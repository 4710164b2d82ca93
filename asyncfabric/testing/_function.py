"""A function: its environments, cold and warm."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from ._environment import Environment
from ._invocation import Result, exit_error, timeout_error
from ._logs import timeout_line

if TYPE_CHECKING:
    from ._host import Host
    from ._invocation import InitFailed, Invocation
    from ._settings import FunctionSettings


class Function:
    """One version of a function."""

    def __init__(self, name: str, version: str, settings: FunctionSettings, host: Host) -> None:
        self.name: str = name
        self.version: str = version
        self.settings: FunctionSettings = settings
        self._host = host
        self._all: set[Environment] = set()
        self._idle: list[Environment] = []
        self._retired = False

    @property
    def warm(self) -> bool:
        """Whether an environment waits for work."""
        return bool(self._idle)

    async def run(self, invocation: Invocation) -> Result:
        """Run an invocation in the environment that was used last, or in a new one.

        Raises `OSError` where the system refuses to start another process.
        """
        while self._idle:
            environment = self._idle.pop()
            if environment.idle_timer is not None:
                environment.idle_timer.cancel()
            result = await environment.run(invocation, self.settings.timeout)
            if result is not None:
                self._release(environment)
                return result
        return await self._run_cold(invocation)

    def retire(self) -> None:
        """Let every environment end once it is idle."""
        self._retired = True
        for environment in self._idle:
            environment.kill()

    async def recycle(self) -> None:
        """End the environments that are idle."""
        idle, self._idle = self._idle, []
        for environment in idle:
            environment.kill()
        for environment in idle:
            await environment.ended

    async def aclose(self) -> None:
        """End every environment, whatever it does."""
        for environment in self._all:
            environment.kill()
        for environment in tuple(self._all):
            await environment.ended

    async def _run_cold(self, invocation: Invocation) -> Result:
        environment, failure = await self._start(self._host.limits.init_seconds)
        left = self.settings.timeout
        if not environment.ready.done() or failure is not None:
            # Lambda starts it once more, now within the time of the invocation.
            began = perf_counter()
            environment.kill()
            environment, failure = await self._start(left)
            left -= perf_counter() - began
            if not environment.ready.done() or failure is not None:
                environment.kill()
                self._host.tally.counters.function_errors += 1
                return self._not_started(invocation, failure)
        result = await environment.run(invocation, max(left, 0.0))
        if result is None:  # it ended between its first question and the answer
            return Result(exit_error(invocation.request_id, "Runtime exited"), failed=True, log=b"")
        self._release(environment)
        return result

    async def _start(self, seconds: float) -> tuple[Environment, InitFailed | None]:
        """Start an environment and wait so long until it is ready, or failed."""
        environment = Environment(self.name, self.version, self.settings, self._host, self._forget)
        async with self._host.starting:
            await environment.start()
            self._all.add(environment)
            await asyncio.wait([environment.ready], timeout=seconds)
        return environment, environment.ready.result() if environment.ready.done() else None

    def _not_started(self, invocation: Invocation, failure: InitFailed | None) -> Result:
        request_id = invocation.request_id
        if failure is None:
            timeout = self.settings.timeout
            line = timeout_line(request_id, timeout)
            return Result(timeout_error(request_id, timeout), failed=True, log=line)
        body = failure.body or exit_error(request_id, failure.reason)
        return Result(body, failed=True, log=failure.log)

    def _release(self, environment: Environment) -> None:
        if self._retired:
            environment.kill()
        if not environment.alive:
            return
        self._idle.append(environment)
        seconds = self._host.limits.idle_seconds
        if seconds is not None:
            loop = asyncio.get_running_loop()
            environment.idle_timer = loop.call_later(seconds, environment.kill)

    def _forget(self, environment: Environment) -> None:
        self._all.discard(environment)
        if environment in self._idle:
            self._idle.remove(environment)
