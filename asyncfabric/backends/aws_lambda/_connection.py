"""The backend's line to AWS: credentials, transport, and what went wrong, in one place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncfabric._exceptions import DeploymentError, FabricError

from ._faults import of_acquaintance

if TYPE_CHECKING:
    from asyncfabric.aws._fault import Fault
    from asyncfabric.aws._session import Session
    from asyncfabric.aws.transport import Reply, Transport, Unanswered
    from asyncfabric.aws.transport._protocol import Done

    from ._url import LambdaSettings

_RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


class Connection:
    """Sends payloads to one function.

    Args:
        settings: which function, where, and how it is reached.
        limit: connections at most.

    Attributes:
        function: its name.
        redeploy: the command that publishes it; complete when the region is known.
        served: it has given a good answer before.
        keys: how often other credentials were found in place of those that AWS refused.
    """

    def __init__(self, settings: LambdaSettings, limit: int) -> None:
        self.function: str = settings.member.function_name
        self.redeploy: str = "asyncfabric deploy"
        self.served: bool = False
        self.keys: int = 0
        self._settings = settings
        self._limit = limit
        self._session: Session | None = None
        self._transport: Transport | None = None
        self._explained: Exception | None = None
        self._region = self._endpoint = ""
        self._asking: asyncio.Task[int | None] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._may_run = False
        self._known = False

    @property
    def is_open(self) -> bool:
        """Whether anything can be sent."""
        return self._transport is not None

    async def open(self) -> None:
        """Find credentials, region and endpoint. A second call does nothing.

        Raises `ConfigurationError` where there are none.
        """
        if self._transport is not None:
            return
        # What follows loads the AWS SDK, and nobody needs that who uses another backend.
        from asyncfabric.aws._error_table import REPLACEABLE
        from asyncfabric.aws._errors import diagnose
        from asyncfabric.aws._missing import deploy_command
        from asyncfabric.aws._session import Session
        from asyncfabric.aws.transport import Request, open_transport

        self._diagnose, self._request_type, self._replaceable = diagnose, Request, REPLACEABLE
        settings = self._settings
        session = Session(
            region=settings.region, profile=settings.profile, endpoint_url=settings.endpoint_url
        )
        try:
            await session.open()
            self._region, self._endpoint = session.region, session.endpoint("lambda")
            self.redeploy = deploy_command(settings.member, session.region)
            self._transport = await open_transport(
                session, kind=settings.transport, limit=self._limit
            )
        except BaseException:
            await session.aclose()
            raise
        self._session = session

    async def aclose(self) -> None:
        """Close every connection."""
        for task in (self._asking, self._replacing):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
        if self._transport is not None:
            await self._transport.aclose()
        if self._session is not None:
            await self._session.aclose()

    def invoke(self, payload: bytes, seconds: float, done: Done) -> None:
        """Invoke the function; `done` is told its reply, within so many seconds."""
        assert self._transport is not None  # noqa: S101 - there is room only when it is open
        request = self._request_type(self.function, payload, True, seconds)  # noqa: FBT003
        self._transport.invoke(request, done)

    def leave(self, payload: bytes, seconds: float, done: Done) -> None:
        """Leave an event to Lambda; `done` is told whether it was taken, within so many seconds."""
        assert self._transport is not None  # noqa: S101 - as above
        request = self._request_type(self.function, payload, False, seconds, True)  # noqa: FBT003
        self._transport.invoke(request, done)

    def diagnose(self, reply: Reply | Unanswered, *, event: bool = False) -> Fault | None:
        """Tell what is wrong with a reply, if anything is."""
        fault = self._diagnose(
            reply,
            function=self.function,
            region=self._region,
            endpoint=self._endpoint,
            event=event,
        )
        if fault is None:
            self._known = True
            return None
        fault = of_acquaintance(fault, known=self._known)
        # What isn't Lambda at all is terminal; its throttles and errors are acquaintance enough.
        self._known = self._known or (fault.kind != "terminal" and bool(fault.request_id))
        return fault

    async def explain(self, fault: Fault) -> Exception:
        """Return the error of a fault that no repetition mends; where possible with its cause."""
        if fault.code != "ResourceNotFoundException" or self._session is None:
            return fault.error
        if self._explained is None:
            from asyncfabric.aws._missing import explain_missing

            self._explained = await explain_missing(self._session, self._settings.member)
        return self._explained

    def may_have_other_keys(self, fault: Fault) -> bool:
        """Tell whether other credentials would mend a fault."""
        return fault.code.removesuffix("Exception") in self._replaceable

    async def has_other_keys(self, keys: int) -> bool:
        """Tell whether there are other credentials than those of so many replacements ago.

        They are looked for once for all that were refused together.
        """
        if keys == self.keys and self._session is not None:
            if self._replacing is None:
                self._replacing = asyncio.ensure_future(self._replace(self._session))
            await asyncio.shield(self._replacing)
        return keys != self.keys

    async def _replace(self, session: Session) -> None:
        try:
            self.keys += await session.replace()
        except FabricError:
            return  # what AWS said is the better explanation
        finally:
            self._replacing = None

    def may_be_forbidden(self, fault: Fault) -> bool:
        """Tell whether a throttle may be one that never ends."""
        return fault.reason == _RESERVED and not self._may_run

    async def forbidden(self, fault: Fault) -> Exception | None:
        """Return the error of a throttle that will never end: the function may not run at all.

        Lambda is asked for the function's reserved concurrency; once, if it is not 0.
        """
        if not self.may_be_forbidden(fault) or self._session is None:
            return None
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._reserved(self._session))
        reserved = await asyncio.shield(self._asking)
        self._asking = None
        if reserved != 0:
            self._may_run = True
            return None
        name = self.function
        return DeploymentError(
            f"function {name} in {self._region} has a reserved concurrency of 0, so that Lambda "
            "refuses to run it; take the reservation off: aws lambda delete-function-concurrency "
            f"--function-name {name} --region {self._region}"
        )

    async def _reserved(self, session: Session) -> int | None:
        """Return the function's reserved concurrency; None without one, or where it isn't told."""
        from asyncfabric.aws._sdk import load

        sdk = load("botocore.exceptions")
        try:
            async with session.client("lambda") as client:
                answer = await client.get_function_concurrency(FunctionName=self.function)
        except (sdk.BotoCoreError, sdk.ClientError):
            return None
        reserved: int | None = answer.get("ReservedConcurrentExecutions")
        return reserved

    @staticmethod
    def request_id(reply: Reply) -> str:
        """Return the name that Lambda gave to an invocation, as a worker's name."""
        return f"request {reply.headers.get('x-amzn-requestid', '?')}"
