"""Who we are on AWS, and where its services are: credentials, region, endpoints.

aiobotocore finds all three (profiles, single sign-on, assumed roles, roles of containers and
machines); this is the little that the rest of asyncfabric needs of it, with errors that say what to
do. It loads nothing of aiobotocore before `open()`.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from asyncfabric._exceptions import ConfigurationError

from ._sdk import load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

FRESH = 300.0
"""Credentials that expire within so many seconds are renewed before they are used."""
PAUSE = 30.0
"""Seconds between two attempts to renew credentials that are still valid."""

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_now = time.time


class Credentials(NamedTuple):
    """Keys that sign requests; `expires` is in seconds of the epoch, None means never."""

    access_key: str
    secret_key: str
    token: str | None
    expires: float | None

    def __repr__(self) -> str:
        # Neither logs nor tracebacks may show keys.
        return f"<Credentials, expires={self.expires}>"


class Session:
    """Credentials, region and endpoints, found once and kept fresh.

    Args:
        region: such as `"eu-west-1"`; default AWS_REGION, AWS_DEFAULT_REGION, then the profile's.
        profile: a section of ~/.aws/config; default AWS_PROFILE, then the SDK's usual search.
        endpoint_url: where every service is, instead of AWS; default AWS_ENDPOINT_URL_LAMBDA and
            its like, AWS_ENDPOINT_URL, the profile's `endpoint_url`, then AWS's own addresses.

    The constructor does no IO. A session belongs to the loop that opens it.
    """

    def __init__(
        self,
        *,
        region: str | None = None,
        profile: str | None = None,
        endpoint_url: str | None = None,
    ) -> None:
        self._asked_region = region
        self._profile = profile
        self._endpoint_url = endpoint_url
        self._region: str | None = None
        self._sdk: Any = None  # aiobotocore's session
        self._source: Any = None  # its credentials, which renew themselves when asked
        self._held: Credentials | None = None
        self._hold_until = float("-inf")
        self._renewal: asyncio.Task[Credentials] | None = None
        self._endpoints: dict[str, str] = {}
        self._account: str | None = None

    async def open(self) -> None:
        """Find credentials and region. A second call does nothing.

        Raises:
            ConfigurationError: there are none, or no such profile, or aiobotocore isn't installed.
        """
        if self._held is not None:
            return
        # Importing aiobotocore takes 300 ms and reading its tables of endpoints 50 ms.
        self._sdk, self._region = await asyncio.to_thread(self._prepare)
        try:
            await self.refresh()
        except BaseException:
            await self.aclose()  # a renewal may still go on, for nobody
            raise

    @property
    def region(self) -> str:
        """The region's name."""
        if self._region is None:
            raise RuntimeError("the session is not open; await session.open() first")
        return self._region

    @property
    def credentials(self) -> Credentials | None:
        """The credentials in hand, or None if they have to be renewed first; see `refresh`."""
        held = self._held
        if held is None or held.expires is None:
            return held
        now = _now()
        if held.expires - now >= FRESH or now < min(self._hold_until, held.expires):
            return held
        return None

    async def refresh(self) -> Credentials:
        """Renew the credentials if they need it, and return those to use now.

        Callers that come together share one renewal. Where it fails, credentials that are still
        valid stay in use, and it is tried again `PAUSE` seconds later.

        Raises:
            ConfigurationError: it failed, and there is nothing valid in hand.
        """
        if self._sdk is None:
            raise RuntimeError("the session is not open; await session.open() first")
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
            self._renewal.add_done_callback(_heard)
        # One caller's cancellation is not the others'.
        return await asyncio.shield(self._renewal)

    async def replace(self) -> bool:
        """Look for other credentials than those in hand, which AWS refuses; tell if there are any.

        Whoever renews keys in ~/.aws by hand doesn't restart the programs that use them.

        Raises:
            ConfigurationError: there are none at all any more.
        """
        old = self._held
        return old is None or (await self.refresh())[:3] != old[:3]

    def endpoint(self, service: str) -> str:
        """Return the URL of a service (`"lambda"`, `"s3"`), without a slash at its end.

        The first call for a service reads the SDK's tables: some milliseconds.

        Raises:
            ConfigurationError: the URL that was configured makes no sense.
        """
        if service not in self._endpoints:
            url = self._endpoint_url or _configured(self._sdk, service)
            self._endpoints[service] = (
                _checked_url(url) if url else _resolved(self._sdk, service, self.region)
            )
        return self._endpoints[service]

    def client(self, service: str, **config: Any) -> AbstractAsyncContextManager[Any]:
        """Return a new aiobotocore client, to be used in `async with`.

        Args:
            service: such as `"s3"`.
            config: options of `AioConfig`; default 3 attempts in the SDK's standard mode.
        """
        return self._client(service, config)

    @asynccontextmanager
    async def _client(self, service: str, config: dict[str, Any]) -> AsyncGenerator[Any]:
        options = {"retries": {"mode": "standard", "total_max_attempts": 3}, **config}
        async with self._sdk.create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint(service),
            config=load("aiobotocore.config").AioConfig(warm_up_loader_caches=True, **options),
        ) as client:
            yield client

    def direct(self, url: str) -> bool:
        """Tell whether a URL is reached without a proxy and by the usual certificates."""
        bundle = self._sdk.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        if bundle and url.startswith("https:"):
            return False
        proxies = load("botocore.utils").get_environ_proxies(url)  # none where NO_PROXY says so
        return not proxies.get(urlsplit(url).scheme)

    async def account(self) -> str:
        """Return the number of the account that the credentials belong to.

        Raises:
            ConfigurationError: the credentials are not accepted.
        """
        if self._account is None:
            try:
                async with self.client("sts") as sts:
                    answer = await sts.get_caller_identity()
            except _failures() as error:
                raise self._explained(error) from error
            self._account = str(answer["Account"])
        return self._account

    async def aclose(self) -> None:
        """Stop what is under way. The session can be opened again."""
        renewal, self._renewal = self._renewal, None
        if renewal is not None and not renewal.done():
            renewal.cancel()
            await asyncio.wait([renewal])
        self._sdk = self._source = self._held = self._account = None
        self._endpoints.clear()

    def __repr__(self) -> str:
        return f"<Session region={self._region or self._asked_region} profile={self._profile}>"

    # -- finding --------------------------------------------------------------------------------

    def _prepare(self) -> tuple[Any, str]:
        """Load aiobotocore, read the configuration files. Runs in a thread."""
        new = load("aiobotocore.session").AioSession
        try:
            sdk = new(profile=self._profile)
            region = self._asked_region or _region(sdk)
            if region is None:
                raise ConfigurationError(
                    "no AWS region is configured; set AWS_REGION, write region=... into the "
                    "profile in ~/.aws/config, or add ?region=... to the URL"
                )
            if not _REGION.fullmatch(region):
                raise ConfigurationError(
                    f"{region!r} is no name of an AWS region; name one such as 'eu-west-1'"
                )
            sdk.set_config_variable("region", region)
            url = self._endpoint_url or _configured(sdk, "lambda")
            self._endpoints["lambda"] = (
                _checked_url(url) if url else _resolved(sdk, "lambda", region)
            )
        except _failures() as error:
            raise self._explained(error) from error
        return sdk, region

    async def _renew(self) -> Credentials:
        held = self._held
        try:
            if self._source is None or not hasattr(self._source, "_expiry_time"):
                await self._find()
            source: Any = self._source
            frozen = await source.get_frozen_credentials()
        except _failures() as error:
            if held is not None and (held.expires is None or held.expires > _now()):
                self._hold_until = _now() + PAUSE
                return held
            raise self._explained(error) from error
        expiry = getattr(self._source, "_expiry_time", None)
        self._held = Credentials(
            _key(frozen.access_key, "access key"),
            _key(frozen.secret_key, "secret key"),
            _key(frozen.token, "session token") if frozen.token else None,
            None if expiry is None else expiry.timestamp(),
        )
        # Some are short-lived from the start: they are used until they are PAUSE seconds older.
        self._hold_until = _now() + PAUSE
        return self._held

    async def _find(self) -> None:
        sdk, region = self._sdk, self._region
        if self._held is not None:
            # Keys that never expire may have been replaced in the files: look again.
            sdk, region = await asyncio.to_thread(self._prepare)
        found = await sdk.get_credentials()
        if found is None:
            raise ConfigurationError(
                f"no AWS credentials were found{self._for_profile()}: neither in the environment "
                "(AWS_ACCESS_KEY_ID) nor in ~/.aws, and this machine has no role; run 'aws "
                "configure' or 'aws sso login', or set AWS_PROFILE"
            )
        if self._source is None or hasattr(found, "_expiry_time"):
            self._sdk, self._region, self._source = sdk, region, found
        else:
            for name in ("access_key", "secret_key", "token"):  # clients that are open sign by them
                setattr(self._source, name, getattr(found, name))

    def _for_profile(self) -> str:
        profile = self._profile or os.environ.get("AWS_PROFILE")
        return f" for the profile {profile!r}" if profile else ""

    def _explained(self, error: Exception) -> ConfigurationError:
        """Return what a user is told when the SDK gives up."""
        if isinstance(error, ConfigurationError):
            return error
        sdk = load("botocore.exceptions")
        whose = self._for_profile()
        option = f" --profile {self._profile}" if self._profile else ""
        if isinstance(error, sdk.ProfileNotFound):
            return ConfigurationError(
                f"{error}; name one that is in ~/.aws/config, or make it: aws configure{option}"
            )
        if isinstance(error, (sdk.SSOError, sdk.TokenRetrievalError)):
            return ConfigurationError(
                f"the AWS single sign-on{whose} has ended ({error}); run: aws sso login{option}"
            )
        if isinstance(error, sdk.LoginError):
            return ConfigurationError(
                f"the AWS login{whose} has ended ({error}); run: aws login{option}"
            )
        if isinstance(error, sdk.PartialCredentialsError):
            return ConfigurationError(f"{error}; set both the access key and the secret key")
        return ConfigurationError(
            f"AWS credentials{whose} can't be had or are refused ({type(error).__name__}: {error});"
            f" see what 'aws sts get-caller-identity{option}' says"
        )


def _heard(renewal: asyncio.Task[Credentials]) -> None:
    if not renewal.cancelled():
        renewal.exception()  # whoever waited may have gone away


def _failures() -> tuple[type[Exception], ...]:
    """Return what the SDK raises where credentials can't be had."""
    sdk = load("botocore.exceptions")
    # RuntimeError: renewed ones had expired already. ValueError: nonsense in a file, or ours.
    return (sdk.BotoCoreError, sdk.ClientError, OSError, RuntimeError, ValueError)


def _region(sdk: Any) -> str | None:  # noqa: ANN401 - untyped
    # The SDK for Python reads AWS_DEFAULT_REGION only; every other one reads AWS_REGION.
    return os.environ.get("AWS_REGION") or sdk.get_config_variable("region") or None


def _configured(sdk: Any, service: str) -> str | None:  # noqa: ANN401 - untyped
    """Return the endpoint that environment or profile set for a service."""
    if sdk.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    new = load("botocore.configprovider").ConfiguredEndpointProvider
    provider = new(sdk.full_config, sdk.get_scoped_config(), service)
    return provider.provide() or None


def _resolved(sdk: Any, service: str, region: str) -> str:  # noqa: ANN401 - untyped
    """Return AWS's own endpoint of a service."""
    loader = sdk.get_component("data_loader")
    provider = load("botocore.endpoint_provider").EndpointProvider(
        loader.load_service_model(service, "endpoint-rule-set-1"), loader.load_data("partitions")
    )
    found = provider.resolve_endpoint(
        Region=region,
        UseFIPS=bool(sdk.get_config_variable("use_fips_endpoint")),
        UseDualStack=bool(sdk.get_config_variable("use_dualstack_endpoint")),
    )
    return str(found.url).rstrip("/")


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        good = good and not (parts.query or parts.fragment or parts.username)
    except ValueError:
        good = False
    if not good:
        raise ConfigurationError(
            f"the endpoint {url!r} is no URL of a server; write http://HOST:PORT or https://HOST"
        )
    return url.rstrip("/")


def _key(value: str, name: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise ConfigurationError(
            f"the AWS {name} is empty, or has a space, line break or odd character in it; "
            "copy it again, and set it without them"
        )
    return value
