"""The clients of aiobotocore, as its documentation begins and at their best."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from bench.peers.cloud import Target


class Body(Protocol):
    """See aiobotocore.response.StreamingBody."""

    async def read(self) -> bytes:
        """Read all of it."""
        ...


class Client(Protocol):
    """See aiobotocore.client.AioBaseClient; its methods are made from the service's model."""

    async def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Body]:  # noqa: N803
        """See Lambda's Invoke."""
        ...

    async def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object:  # noqa: N803
        """See S3's PutObject."""
        ...

    async def get_object(self, *, Bucket: str, Key: str) -> dict[str, Body]:  # noqa: N803
        """See S3's GetObject."""
        ...


class _Session(Protocol):
    def create_client(
        self,
        service: str,
        *,
        region_name: str,
        endpoint_url: str,
        verify: str | None,
        config: object | None,
    ) -> AbstractAsyncContextManager[Client]:
        """See aiobotocore.session.AioSession.create_client."""
        ...


class _Package(Protocol):
    def get_session(self) -> _Session:
        """See aiobotocore.session.get_session."""
        ...


class _Config(Protocol):
    def AioConfig(self, **settings: object) -> object:  # noqa: N802  (the peer's name)
        """See aiobotocore.config.AioConfig."""
        ...


aiobotocore = cast("_Package", import_module("aiobotocore.session"))
config = cast("_Config", import_module("aiobotocore.config"))


def make_client(
    service: str, target: Target, *, tuned: bool
) -> AbstractAsyncContextManager[Client]:
    """Make a client: its pool as wide as it needs; tuned also spares what can be spared."""
    # Ten connections are its default: then no peer could have more than ten calls in flight.
    settings: Mapping[str, object] = {"max_pool_connections": target.in_flight}
    if tuned:
        settings = {
            **settings,
            "parameter_validation": False,
            "read_timeout": 960,
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connector_args": {"keepalive_timeout": 120},
        }
    return aiobotocore.get_session().create_client(
        service,
        region_name=target.region,
        endpoint_url=target.url,
        verify=None if target.certificate is None else str(target.certificate),
        config=config.AioConfig(**settings),
    )
