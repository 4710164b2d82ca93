"""Control calls: one place that makes them and says what became of them."""

from __future__ import annotations

import warnings
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from asyncfabric._exceptions import DeploymentError
from asyncfabric.aws._sdk import load
from asyncfabric.aws._session import Session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

_MISSING = {
    "404", "NoSuchBucket", "NoSuchEntity", "NoSuchBucketPolicy", "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration", "NoSuchTagSet", "OwnershipControlsNotFoundError",
    "ResourceNotFoundException", "ServerSideEncryptionConfigurationNotFoundError", "NoSuchKey",
}  # fmt: skip
_DENIED = {
    "403", "AccessDenied", "AccessDeniedException", "AccessDeniedFault", "AllAccessDisabled",
    "UnauthorizedOperation",
}  # fmt: skip
_IAM_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


class Refused(DeploymentError):
    """AWS answered a control call with an error.

    Attributes:
        operation: the call, as `CreateFunction`.
        code: AWS's name of the error.
        reason: AWS's words.
    """

    def __init__(self, operation: str, code: str, reason: str) -> None:
        advice = (
            "; ask who administers the account for that permission, "
            "or give what exists already (docs/deploy.md, restricted accounts)"
            if code in _DENIED
            else "; see docs/deploy.md"
        )
        super().__init__(f"AWS refused {operation}: {code}: {reason.strip().rstrip('.')}{advice}")
        self.operation = operation
        self.code = code
        self.reason = reason

    @property
    def missing(self) -> bool:
        """Whether there is no such thing."""
        return self.code in _MISSING

    @property
    def denied(self) -> bool:
        """Whether the caller may not ask."""
        return self.code in _DENIED


class Cloud:
    """An account in a region, by its control calls; an async context manager.

    Args:
        region: default as `Session`.
        profile: default as `Session`.
        endpoint_url: default as `Session`.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self.session = Session(region=region, profile=profile, endpoint_url=endpoint_url)
        self.endpoint_url = endpoint_url
        self.account = ""
        self._profile = profile
        self._clients: dict[str, Any] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(self.session.aclose)
        try:
            await self.session.open()
            self.account = await self.session.account()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def region(self) -> str:
        """The region's name."""
        return self.session.region

    @property
    def partition(self) -> str:
        """The region's part of AWS, as it stands in ARNs."""
        return partition(self.region)

    async def call(self, service: str, operation: str, **arguments: object) -> dict[str, Any]:
        """Make one call, named as aiobotocore's method, and return its answer.

        Raises:
            Refused: AWS answered with an error.
            DeploymentError: no answer.
        """
        sdk = load("botocore.exceptions")
        try:
            client = await self.client(service)
            with warnings.catch_warnings():
                # aiohttp's advice on packages of some MB: nothing else waits for the loop here.
                warnings.filterwarnings("ignore", "Sending a large body", ResourceWarning)
                answer: dict[str, Any] = await getattr(client, operation)(**arguments)
        except sdk.ClientError as error:
            raise refused(error) from error
        except sdk.BotoCoreError as error:
            raise _no_answer(service, error) from error
        return answer

    async def pages(
        self, service: str, operation: str, key: str, **arguments: object
    ) -> AsyncIterator[Any]:
        """Yield the items under `key` of all pages of a listing; errors as `call`."""
        sdk = load("botocore.exceptions")
        try:
            client = await self.client(service)
            async for page in client.get_paginator(operation).paginate(**arguments):
                for item in page.get(key, ()):
                    yield item
        except sdk.ClientError as error:
            raise refused(error) from error
        except sdk.BotoCoreError as error:
            raise _no_answer(service, error) from error

    async def client(self, service: str) -> Any:  # noqa: ANN401 - aiobotocore has no types
        """Return the client of a service, made once."""
        if service not in self._clients:
            session = await self._session_of(service)
            client = await self._stack.enter_async_context(session.client(service))
            self._clients[service] = client
        return self._clients[service]

    async def _session_of(self, service: str) -> Session:
        if service != "iam":
            return self.session
        # IAM is one service for all regions of a partition, and wants its own region's signature.
        session = Session(
            region=_IAM_REGIONS.get(self.partition, self.region),
            profile=self._profile,
            endpoint_url=self.endpoint_url,
        )
        self._stack.push_async_callback(session.aclose)
        await session.open()
        return session


def partition(region: str) -> str:
    """Return the part of AWS that a region belongs to, as it stands in ARNs.

    >>> partition("cn-north-1")
    'aws-cn'
    """
    for prefix in ("cn", "us-gov", "us-iso", "us-isob", "eusc"):
        if region.startswith(f"{prefix}-"):
            return {"us-isob": "aws-iso-b", "us-iso": "aws-iso"}.get(prefix, f"aws-{prefix}")
    return "aws"


def refused(error: Exception) -> Refused:
    """Return a `ClientError` of botocore as `Refused`."""
    answer: dict[str, Any] = getattr(error, "response", {})
    details: dict[str, Any] = answer.get("Error", {})
    operation = str(getattr(error, "operation_name", "the request"))
    return Refused(operation, str(details.get("Code", "")), str(details.get("Message", "")))


def _no_answer(service: str, error: Exception) -> DeploymentError:
    return DeploymentError(
        f"AWS {service} gave no answer: {error}; check the network, the region and --endpoint-url"
    )
