"""The HTTP clients of a store, made on first use.

obstore retries nothing here: a retry that is not ours could turn a write of ours that was won into
one that was lost. The exception are uploads in parts, which can only be repeated part by part in
there.
"""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ._s3_address import ANY_OWNER, Address

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential, S3Store

Credentials: TypeAlias = Callable[[], Awaitable[tuple[str, str, str | None, float | None]]]
"""Returns access key, secret key, session token and expiry (seconds since the epoch)."""

_CONNECT = timedelta(seconds=5)
_SILENCE = timedelta(seconds=30)
"""A reply that brings no byte for so long is given up."""
_LONGEST = timedelta(minutes=15)
_IDLE = timedelta(seconds=20)
"""An idle connection is kept for so long; S3 closes its end at about this age."""
_DEFAULT_REGION = "us-east-1"
_FRESH = 300.0  # seconds before they expire, credentials are replaced


class Clients:
    """obstore's stores for one address; each has its own connections."""

    def __init__(self, address: Address, credentials: Credentials | None) -> None:
        self.address = address
        self._credentials = credentials
        self._provider = _Provider(credentials) if credentials else None
        once: RetryConfig = {"max_retries": 0, "retry_timeout": _LONGEST}
        patient: RetryConfig = {"max_retries": 10, "retry_timeout": timedelta(seconds=60)}
        self.reads: S3Store = self._make(once, silence=True)
        self.writes: S3Store = self._make(once)
        self.uploads: S3Store = self._make(patient)
        # obstore does not sign default headers of listings, and S3 refuses any header of its own
        # that is not signed.
        self.lists: S3Store = (
            self._make(once, silence=True, owned=False) if self.owner else self.reads
        )

    @property
    def owner(self) -> str | None:
        """The account that every request names as the expected owner of the bucket."""
        return None if self.address.owner == ANY_OWNER else self.address.owner

    @property
    def trouble(self) -> Exception | None:
        """What the provider of credentials raised last, if that was its last word."""
        return self._provider.trouble if self._provider else None

    @property
    def renewable(self) -> bool:
        """Whether there is somebody to ask for other credentials."""
        return self._credentials is not None

    def renewed(self) -> "Clients":
        """Return new clients, which know no credentials yet."""
        return Clients(self.address, self._credentials)

    def close(self) -> None:
        """Let go of the connections; requests in flight keep theirs."""
        # Explicitly: what obstore's threads refer to (the error of a request, say, and with it this
        # object) is freed only when obstore is called the next time.
        del self.reads, self.writes, self.uploads, self.lists

    def _make(
        self, retry: "RetryConfig", *, silence: bool = False, owned: bool = True
    ) -> "S3Store":
        from obstore.store import S3Store

        address = self.address
        client: ClientConfig = {
            "connect_timeout": _CONNECT,
            "timeout": _LONGEST,
            "pool_idle_timeout": _IDLE,
        }
        if silence:
            client["read_timeout"] = _SILENCE
        if owned and self.owner:
            client["default_headers"] = {"x-amz-expected-bucket-owner": self.owner}
        if bundle := os.environ.get("AWS_CA_BUNDLE"):
            client["root_certificate"] = Path(bundle).read_bytes()
        config: S3Config = {
            "region": address.region or _DEFAULT_REGION,
            "disable_bulk_delete": True,
            # Below a bucket's name with dots no TLS certificate is valid.
            "virtual_hosted_style_request": (
                address.endpoint_url is None and "." not in address.bucket
            ),
        }
        if address.endpoint_url:
            client["allow_http"] = address.endpoint_url.startswith("http://")
            config["endpoint"] = config["aws_endpoint_url_s3"] = address.endpoint_url
        return S3Store(
            address.bucket,
            config=config,
            client_options=client,
            retry_config=retry,
            credential_provider=self._provider,
        )


class _Provider:
    """Credentials as obstore asks for them: when it has none, and before those expire."""

    # obstore's stores each remember credentials for themselves, hence one memory for all.

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._held: S3Credential | None = None
        self._fresh_until = 0.0  # seconds since the epoch
        self._asking = asyncio.Lock()
        self.trouble: Exception | None = None

    async def __call__(self) -> "S3Credential":
        async with self._asking:
            if self._held is None or time.time() > self._fresh_until:
                self._held = await self._ask()
            return self._held

    async def _ask(self) -> "S3Credential":
        try:
            access, secret, token, expires = await self._credentials()
        except Exception as error:
            self.trouble = error
            raise
        self.trouble = None
        utc = timezone.utc  # noqa: UP017
        self._fresh_until = math.inf if expires is None else expires - _FRESH
        return {
            "access_key_id": access,
            "secret_access_key": secret,
            "token": token,
            "expires_at": None if expires is None else datetime.fromtimestamp(expires, utc),
        }
