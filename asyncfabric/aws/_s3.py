"""The driver's S3 store: with credentials and region as aiobotocore finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_storage._s3 import S3Store
from asyncfabric_storage._s3_address import Address, parse_address

from ._session import Session

if TYPE_CHECKING:
    from ._session import Credentials

_AWS = (".amazonaws.com", ".amazonaws.com.cn")
_SOME_REGION = "us-east-1"  # other services than AWS don't mind


class SessionStore(S3Store):
    """An S3 store that learns credentials, region and owner from a `Session` on first use.

    On AWS, the bucket must belong to the caller's own account unless the URL says otherwise
    (`owner=ACCOUNT`, or `owner=any` for no check). After `open()` the store's URL names region and
    owner, so that workers which open it check the same.
    """

    def __init__(
        self,
        address: Address,
        session: Session | None = None,
        region: str | None = None,
        profile: str | None = None,
    ) -> None:
        """Without a session, the store has its own and closes it."""
        super().__init__(
            address.bucket,
            address.prefix,
            region=address.region,
            endpoint_url=address.endpoint_url,
            owner=address.owner,
            credentials=self._current,
        )
        self._own: bool = session is None
        region = address.region or region or (_SOME_REGION if address.endpoint_url else None)
        self._session: Session = session or Session(region=region, profile=profile)
        self._given: Credentials | None = None

    async def aclose(self) -> None:
        """Close the connections, and the session if it is the store's own."""
        await super().aclose()
        if self._own:
            await self._session.aclose()

    async def _settle(self) -> Address:
        session, address = self._session, self._address
        await session.open()
        endpoint = address.endpoint_url or _elsewhere(session.endpoint("s3"))
        owner = address.owner
        if owner is None and endpoint is None:
            owner = await self._account()
        region = address.region or session.region
        return address._replace(region=region, endpoint_url=endpoint, owner=owner)

    async def _account(self) -> str:
        try:
            return await self._session.account()
        except ConfigurationError as error:
            msg = (
                f"the owner of s3://{self._address.bucket} can't be checked: {error}; or name it "
                "by owner=ACCOUNT in the s3:// URL (owner=any: accept anyone's bucket)"
            )
            raise ConfigurationError(msg) from error

    async def _current(self) -> tuple[str, str, str | None, float | None]:
        credentials = self._session.credentials
        # Asked again for those in hand: S3 has refused them.
        if credentials is None or credentials == self._given:
            credentials = await self._session.refresh()
        self._given = credentials
        return credentials


def open_s3_store(
    url: str,
    *,
    session: Session | None = None,
    region: str | None = None,
    profile: str | None = None,
) -> SessionStore:
    """Return the driver's store for an `s3://` URL. Nothing is read or written yet.

    Args:
        url: `s3://BUCKET/PREFIX?region=..&endpoint_url=..&owner=..`
        session: who we are; by default the store has a session of its own, of:
        region: where the bucket is, if the URL doesn't say it;
        profile: section of the AWS configuration that credentials are taken from.

    Raises:
        ConfigurationError: an unknown option, a password, a part that can't be.
    """
    return SessionStore(parse_address(url, urlsplit(url)), session, region, profile)


def _elsewhere(endpoint: str) -> str | None:
    """Return the endpoint if it is not AWS's own."""
    return None if (urlsplit(endpoint).hostname or "").endswith(_AWS) else endpoint
