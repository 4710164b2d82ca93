"""An execution environment: one worker process with a Runtime API of its own."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
import uuid
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING

from . import _memory
from ._invocation import InitFailed, Result, error_body, exit_error, timeout_error
from ._logs import LogTail, Report, end_lines, start_line, timeout_line
from ._process import WorkerProcess
from ._runtime_api import ACCEPTED, FORBIDDEN, UNKNOWN_ID, Answer, RuntimeConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._host import Host
    from ._invocation import Invocation
    from ._settings import FunctionSettings

_LAST_WORDS = 0.1
"""Seconds to wait for an answer that a dead worker may have sent, where its connection isn't closed
because a child that left its process group holds it."""

_TOO_LARGE = Answer(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    b'{"errorMessage":"Exceeded maximum allowed payload size","errorType":"RequestEntityTooLarge"}',
)


class Environment:
    """One execution environment; `on_end` is called once its process has ended.

    Attributes:
        ready: done when the worker asks for work for the first time; why not, if it can't.
        ended: done when the process has ended and everything of it is cleaned up.
        alive: whether it can be given work.
    """

    def __init__(
        self,
        name: str,
        version: str,
        settings: FunctionSettings,
        host: Host,
        on_end: Callable[[Environment], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[InitFailed | None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.alive: bool = True
        self.idle_timer: asyncio.TimerHandle | None = None
        self._name = name
        self._version = version
        self._settings = settings
        self._host = host
        self._on_end = on_end
        self._log = LogTail()
        self._init: float | None = None
        self._init_error: bytes | None = None
        self._used = 0
        self._connection: RuntimeConnection | None = None
        self._waiting = False
        self._current: Invocation | None = None
        self._answer: asyncio.Future[Result | None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._began: float | None = None
        self._reason = ""

    # -- life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the worker. Raises `OSError` where the system refuses a process or socket."""
        host = self._host
        self._opened = perf_counter()
        # In two steps, so that whoever is cancelled meanwhile still holds the socket.
        self._server = await self._loop.create_server(
            lambda: RuntimeConnection(self), "127.0.0.1", 0, start_serving=False
        )
        self._directory = host.directory()
        try:
            await self._server.start_serving()
            self._process = WorkerProcess(
                [sys.executable, "-m", "awslambdaric", self._settings.handler],
                directory=self._code(),
                environment=self._variables(self._server.sockets[0].getsockname()[1]),
                guard=host.guard,
                on_output=self._on_output,
                on_exit=self._on_exit,
            )
        except BaseException:
            self._server.close()
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        host.tally.counters.environments += 1
        host.tally.changed()
        host.watch(self)

    def kill(self) -> None:
        """End the worker at once; `ended` tells when that has happened."""
        self.alive = False
        if not self.ended.done():
            self._process.kill()

    def _code(self) -> str:
        return str(self._settings.code or self._host.empty)

    def _variables(self, port: int) -> dict[str, str]:
        day = time.strftime("%Y/%m/%d", time.gmtime())
        return {
            **self._host.environment,
            **self._settings.environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": self._name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._settings.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": self._version,
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{self._name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"{day}/[{self._version}]{uuid.uuid4().hex}",
            "LAMBDA_TASK_ROOT": self._code(),
            "LAMBDA_RUNTIME_DIR": self._code(),
            "TMPDIR": self._directory,
            "_HANDLER": self._settings.handler,
        }

    def _on_output(self, text: bytes) -> None:
        self._log.write(text)
        if self._host.on_log is not None:
            self._host.on_log(self._name, text.decode("utf-8", "replace"))

    def _on_exit(self) -> None:
        self.alive = False
        self._reason = self._process.reason()
        self._host.rest(self)
        self._server.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._connection is None or self._current is None:
            self._end()
        else:  # an answer may be on its way still: it comes before the connection's end
            self._timer = self._replace_timer(_LAST_WORDS, self._end)

    def _end(self) -> None:
        """Settle whatever is open; the process has ended."""
        if self._connection is not None:
            self._connection.close()
        if not self.ready.done():
            self.ready.set_result(InitFailed(self._init_error, self._reason, self._log.take()))
        if self._current is not None:
            if self._began is None:  # it had not begun: it can run elsewhere
                self._settle(None)
            else:
                body = exit_error(self._current.request_id, self._reason)
                self._fail(self._current, body, "Runtime.ExitError")
        self._on_end(self)
        if not self.ended.done():
            self.ended.set_result(None)

    # -- work -----------------------------------------------------------------------------------

    def run(self, invocation: Invocation, timeout: float) -> asyncio.Future[Result | None]:
        """Run an invocation within `timeout` seconds.

        The result is None when the worker ended before it took the invocation.
        """
        self._answer = self._loop.create_future()
        self._current = invocation
        self._began = None
        if not self.alive:
            self._settle(None)
            return self._answer
        self._timer = self._replace_timer(timeout, self._time_out)
        self._deadline = time.time() + timeout
        self._host.watch(self)
        if self._waiting and self._connection is not None:
            self._hand_over(self._connection, invocation)
        return self._answer

    def on_next(self, connection: RuntimeConnection) -> None:
        """Hand the present invocation over, or remember that the worker is free."""
        self._connection = connection
        self._waiting = True
        if not self.ready.done():
            self._init = perf_counter() - self._opened
            self._host.rest(self)
            self.ready.set_result(None)
        elif self._current is not None:
            self._hand_over(connection, self._current)

    def on_answer(self, request_id: str, body: bytes, *, failed: bool) -> Answer:
        """Take what the function answered, or how it failed."""
        invocation = self._current
        if invocation is None or self._began is None or invocation.request_id != request_id:
            return UNKNOWN_ID
        if self._measure(_memory.peak(self._process.pid)):
            return ACCEPTED  # it has been killed for its memory, before anybody saw the answer
        self._process.read()
        limit = self._host.limits.response_bytes
        if len(body) > limit:
            message = (
                f"Response payload size ({len(body)} bytes) exceeded maximum allowed payload size "
                f"({limit} bytes)."
            )
            kind = "Function.ResponseSizeTooLarge"
            self._fail(invocation, error_body(kind, message), kind)
            return _TOO_LARGE
        self._finish(
            invocation, body, failed=failed, status="error" if failed else "", error_type=""
        )
        return ACCEPTED

    def on_init_error(self, body: bytes) -> Answer:
        """Remember why the worker can't start; it ends now."""
        if self.ready.done():
            return FORBIDDEN
        self._init_error = body
        return ACCEPTED

    def on_hangup(self, connection: RuntimeConnection) -> None:
        """Know that the worker has nothing more to say."""
        if connection is self._connection:
            self._connection = None
            if self._reason and not self.ended.done():
                self._end()

    def check_memory(self) -> None:
        """End the worker if it and its children occupy more than the function may."""
        self._measure(_memory.occupied(self._process.pid))

    def _measure(self, used: int) -> bool:
        self._used = max(self._used, used)
        too_much = used > self._settings.memory
        if too_much:
            self.kill()
        return too_much

    def _hand_over(self, connection: RuntimeConnection, invocation: Invocation) -> None:
        self._waiting = False
        self._began = perf_counter()
        self._on_output(start_line(invocation.request_id, invocation.version))
        headers = [
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(self._deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", invocation.arn),
            ("Lambda-Runtime-Trace-Id", invocation.trace),
        ]
        if invocation.client_context is not None:
            headers.append(("Lambda-Runtime-Client-Context", invocation.client_context))
        self._host.tally.counters.executions += 1
        self._host.tally.changed()
        connection.send(Answer(HTTPStatus.OK, invocation.payload), headers)

    # -- the end of an invocation ---------------------------------------------------------------

    def _time_out(self) -> None:
        invocation = self._current
        if invocation is None:
            return
        timeout = self._settings.timeout
        self.kill()
        self._process.read()
        self._on_output(timeout_line(invocation.request_id, timeout))
        body = timeout_error(invocation.request_id, timeout)
        self._finish(invocation, body, failed=True, status="timeout", error_type="")

    def _fail(self, invocation: Invocation, body: bytes, kind: str) -> None:
        self._finish(invocation, body, failed=True, status="error", error_type=kind)

    def _finish(
        self, invocation: Invocation, body: bytes, *, failed: bool, status: str, error_type: str
    ) -> None:
        if failed:
            self._host.tally.counters.function_errors += 1
        memory = self._settings.memory
        now = perf_counter()
        report = Report(
            now - (self._began or now),
            self._init,
            memory,
            min(self._used, memory),
            status,
            error_type,
        )
        self._init = None  # only the first invocation reports it
        self._on_output(end_lines(invocation.request_id, report))
        self._settle(Result(body, failed, self._log.take()))

    def _settle(self, result: Result | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._current = None
        self._host.rest(self)
        if not self._answer.done():
            self._answer.set_result(result)

    def _replace_timer(self, seconds: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        if self._timer is not None:
            self._timer.cancel()
        return self._loop.call_later(seconds, then)
