"""The clients of boto3, one for all threads, as its documentation says they may be shared."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from bench.peers.cloud import Target


class Body(Protocol):
    """See botocore.response.StreamingBody."""

    def read(self) -> bytes:
        """Read all of it."""
        ...


class Client(Protocol):
    """See botocore.client.BaseClient; its methods are made from the service's model."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, Body]:  # noqa: N803
        """See Lambda's Invoke."""
        ...

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> object:  # noqa: N803
        """See S3's PutObject."""
        ...

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Body]:  # noqa: N803
        """See S3's GetObject."""
        ...

    def close(self) -> None:
        """Close the pool's connections."""
        ...


class _Package(Protocol):
    def client(
        self, service: str, *, region_name: str, endpoint_url: str, config: object
    ) -> Client:
        """See boto3.client."""
        ...


class _Config(Protocol):
    def Config(self, *, max_pool_connections: int) -> object:  # noqa: N802  (the peer's name)
        """See botocore.config.Config."""
        ...


boto3 = cast("_Package", import_module("boto3"))
config = cast("_Config", import_module("botocore.config"))

THREADS = 64
"""More threads than this make boto3 slower, not faster."""


def make_client(service: str, target: Target) -> Client:
    """Make a client with a connection for every thread."""
    return boto3.client(
        service,
        region_name=target.region,
        endpoint_url=target.url,
        config=config.Config(max_pool_connections=THREADS),
    )
