"""The Invoke REST API: requests in, replies out, faults in between."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from . import _names as names
from ._faults import Fault
from ._invocation import Invocation, new_request_id
from ._replies import Refusal, not_found, throttled, too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiohttp.web import BaseRequest, Response

    from ._admission import Admission
    from ._counters import Tally
    from ._function import Function
    from ._host import Host
    from ._invocation import Result

_ROOT = "/2015-03-31/functions/"
_INVOKE = "/invocations"
_MAX_CONTEXT = 3583
_RETRY_FOR = 6 * 3600.0
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_NONE = Fault()


class Front(Protocol):
    """What the API asks of its front: see `Service`."""

    plan: Callable[[int], Fault | None]

    def find(self, name: str, qualifier: str | None) -> Function | None:
        """Return the function, or None."""
        ...

    def spawn(self, coroutine: Coroutine[object, object, object]) -> None:
        """Run something that no request waits for."""
        ...


class InvokeApi:
    """Serves `POST /2015-03-31/functions/NAME/invocations`."""

    def __init__(self, front: Front, host: Host, admission: Admission) -> None:
        from aiohttp import web

        self._response = web.Response
        self._front = front
        self._host = host
        self._admission = admission
        self._tally: Tally = host.tally
        self._loop = asyncio.get_running_loop()

    async def handle(self, request: BaseRequest) -> Response:
        """Serve one request."""
        request_id = new_request_id()
        if "Origin" in request.headers:
            # A page in a browser of this machine could run anything here; a program sends no such
            # header, and a page can't but send it.
            message = "web pages may not invoke functions"
            return self._refuse(request_id, Refusal(403, "AccessDeniedException", message))
        path = request.path
        if request.method != "POST" or not path.startswith(_ROOT) or not path.endswith(_INVOKE):
            return self._refuse(
                request_id,
                Refusal(404, "UnknownOperationException", f"{request.method} {path} is not Invoke"),
            )
        counters = self._tally.counters
        counters.requests += 1
        self._tally.changed()
        fault = self._front.plan(counters.requests) or _NONE
        if fault.reset:
            return self._reset(request)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        try:
            payload = await request.content.read()
        except ConnectionError:  # the client has broken off: there is nobody to answer
            return self._response()
        if fault.status is not None:
            message = "Rate Exceeded." if fault.reason else "A fault that the test asked for."
            refusal = Refusal(fault.status, fault.code, message, fault.reason, fault.retry_after)
            reply = self._refuse(request_id, refusal)
        else:
            name = path[len(_ROOT) : -len(_INVOKE)]
            try:
                reply = await self._invoke(request, request_id, name, payload, fault)
            except OSError as error:
                message = f"This machine can't start a worker: {error}"
                reply = self._refuse(request_id, Refusal(500, "ServiceException", message))
        if fault.slow_reply:
            await asyncio.sleep(fault.slow_reply)
        if fault.lost_reply:
            return self._reset(request)
        counters.statuses[reply.status] += 1
        self._tally.changed()
        return reply

    async def _invoke(
        self, request: BaseRequest, request_id: str, name: str, payload: bytes, fault: Fault
    ) -> Response:
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        function = self._find(name, request.query.get("Qualifier"))
        if isinstance(function, Refusal):
            return self._refuse(request_id, function)
        refusal = self._check(request, payload, kind)
        if refusal is not None:
            return self._refuse(request_id, refusal)
        account = self._host.account
        trace = f"Root=1-{secrets.token_hex(4)}-{secrets.token_hex(12)};Sampled=0"
        invocation = Invocation(
            request_id,
            payload or b"{}",
            names.arn(
                account.region, account.number, function.name, request.query.get("Qualifier")
            ),
            function.version,
            trace,
            _client_context(request),
        )
        if kind == "DryRun":
            return self._reply(request_id, 204, b"", {})
        if kind == "Event":
            for _ in range(0 if fault.dropped else 2 if fault.duplicate else 1):
                self._front.spawn(self._event(function, invocation))
            return self._reply(request_id, 202, b"", {"X-Amzn-Trace-Id": trace})
        reason = self._admission.enter(function, self._loop.time())
        if reason is not None:
            return self._refuse(request_id, throttled(reason))
        if fault.duplicate:
            self._front.spawn(function.run(invocation))
        try:
            result = await function.run(invocation)
        finally:
            self._admission.leave(function)
        headers = {"X-Amz-Executed-Version": function.version, "X-Amzn-Trace-Id": trace}
        if result.failed:
            headers["X-Amz-Function-Error"] = "Unhandled"
        if request.headers.get("X-Amz-Log-Type") == "Tail":
            headers["X-Amz-Log-Result"] = base64.b64encode(result.log).decode()
        return self._reply(request_id, 200, result.body, headers)

    def _find(self, text: str, qualifier: str | None) -> Function | Refusal:
        parsed = names.parse(text)
        if parsed is None:
            return Refusal(
                400,
                "ValidationException",
                f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy "
                f"constraint: Member must satisfy regular expression pattern: {names.PATTERN}",
            )
        region, account = self._host.account
        qualifier = qualifier or parsed.qualifier
        arn = names.arn(region, account, parsed.name, qualifier)
        if parsed.region not in {None, region}:
            return Refusal(
                404,
                "ResourceNotFoundException",
                f"Functions from '{parsed.region}' are not reachable in this region ('{region}')",
            )
        if parsed.account not in {None, account}:
            return Refusal(
                403,
                "AccessDeniedException",
                f"User: arn:aws:iam::{account}:user/test is not authorized to perform: "
                f"lambda:InvokeFunction on resource: {arn}",
            )
        return self._front.find(parsed.name, qualifier) or not_found(arn)

    def _check(self, request: BaseRequest, payload: bytes, kind: str) -> Refusal | None:
        if kind not in {"RequestResponse", "Event", "DryRun"}:
            message = f"{kind} is not an invocation type: RequestResponse, Event or DryRun"
            return Refusal(400, "InvalidParameterValueException", message)
        event = kind == "Event"
        limits = self._host.limits
        limit = limits.event_bytes if event else limits.request_bytes
        if len(payload) > limit:
            return too_large(len(payload), limit, event=event)
        if len(request.headers.get("X-Amz-Client-Context", "")) > _MAX_CONTEXT:
            message = (
                f"Client context must be no more than {_MAX_CONTEXT} bytes when base64-encoded"
            )
            return Refusal(400, "InvalidRequestContentException", message)
        try:
            _client_context(request)
        except ValueError as error:
            message = f"Client context must be a valid Base64-encoded JSON object: {error}"
            return Refusal(400, "InvalidRequestContentException", message)
        try:
            json.loads(payload or b"{}")
        except ValueError as error:
            message = f"Could not parse request body into json: {error}"
            return Refusal(400, "InvalidRequestContentException", message)
        return None

    async def _event(self, function: Function, invocation: Invocation) -> None:
        waits = self._host.limits.event_waits[: function.settings.event_retries]
        for wait in (*waits, None):
            result = await self._admitted(function, invocation)
            if result is None or not result.failed or wait is None:
                return
            await asyncio.sleep(wait)

    async def _admitted(self, function: Function, invocation: Invocation) -> Result | None:
        """Run an event once there is room; None when there was none for six hours."""
        pause = _FIRST_PAUSE
        until = self._loop.time() + _RETRY_FOR
        while self._admission.enter(function, self._loop.time()) is not None:
            if self._loop.time() > until:
                return None
            try:
                # Lambda's own queue needs seconds to see that there is room; tests needn't.
                await asyncio.wait_for(self._room(), pause)
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE)
        try:
            return await function.run(invocation)
        finally:
            self._admission.leave(function)

    async def _room(self) -> None:
        """Wait until fewer invocations run than now."""
        running = self._tally.counters.running
        await self._tally.until(lambda counters: counters.running < running)

    def _refuse(self, request_id: str, refusal: Refusal) -> Response:
        if refusal.status == 429:  # noqa: PLR2004
            self._tally.counters.throttles += 1
        return self._reply(request_id, refusal.status, refusal.body, refusal.headers)

    def _reply(
        self, request_id: str, status: int, body: bytes, headers: dict[str, str]
    ) -> Response:
        headers["Content-Type"] = "application/json"
        headers["x-amzn-RequestId"] = request_id
        return self._response(status=status, body=body, headers=headers)

    def _reset(self, request: BaseRequest) -> Response:
        """Reset the connection, as a network does that has lost it; the response goes nowhere."""
        transport = request.transport
        if transport is not None:
            # The descriptor is asked for the socket: uvloop's own has no such option.
            with socket.socket(
                fileno=os.dup(transport.get_extra_info("socket").fileno())
            ) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        self._tally.counters.resets += 1
        self._tally.changed()
        return self._response()


def _client_context(request: BaseRequest) -> str | None:
    """Return the client context, in one line; raise ValueError where it is none."""
    text = request.headers.get("X-Amz-Client-Context")
    if text is None:
        return None
    return json.dumps(json.loads(base64.b64decode(text, validate=True)))
