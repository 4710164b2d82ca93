"""Objects in a bucket of S3, or of a service that speaks its language."""

import asyncio
import os
from typing import TYPE_CHECKING, NoReturn

from ._buffers import as_views
from ._errors import ConfigurationError, ObjectNotFound, StorageError
from ._keys import validate_key, validate_prefix
from ._protocol import ObjectInfo, ObjectStore
from ._ranges import check_range, clip_range
from ._s3_address import ANY_OWNER, Address, make_address, object_name, parse_address
from ._s3_advice import explain
from ._s3_clients import Clients, Credentials
from ._s3_flow import Flow, Refused
from ._s3_listing import Listing
from ._s3_reads import Reading
from ._s3_writes import Writing

if TYPE_CHECKING:
    import builtins
    from collections.abc import AsyncIterator, Callable
    from urllib.parse import SplitResult

    from obstore import ObjectMeta

    from ._buffers import Data


class S3Store(ObjectStore):
    """A store in a bucket, below a prefix: for every machine that has credentials for it.

    The key `a/b` is the object `PREFIX/a/b`. Objects above 16 MiB are written in parts, those above
    8 MiB are read in parts, many at once. Uploads that are killed leave parts behind which are
    billed: give the bucket a lifecycle rule that aborts incomplete uploads after a day.

    Requests above the bound wait. Where the service asks to slow down (503), the bound shrinks and
    grows again; only after `patience` seconds of that does an operation fail.

    A bucket below whose prefix others keep objects with names that are no keys here (`a//b`)
    can't be listed, and one named `a/` is listed as `a`: choose a prefix of one's own.

    >>> S3Store("my-bucket", "results", region="eu-west-1").url
    's3://my-bucket/results?region=eu-west-1'
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        owner: str | None = None,
        credentials: Credentials | None = None,
        limit: int = 256,
        patience: float = 60.0,
    ) -> None:
        """Name the bucket; nothing is read or written.

        Args:
            bucket: its name.
            prefix: what stands before every key, without slashes at its ends.
            region: by default that of AWS_REGION or AWS_DEFAULT_REGION, else us-east-1.
            endpoint_url: of another service than AWS; by default that of AWS_ENDPOINT_URL_S3 or
                AWS_ENDPOINT_URL. Plain HTTP is spoken only where it says `http://`.
            owner: the account (12 digits) that must own the bucket; S3 refuses every request if it
                does not. `"any"` or None: no such check.
            credentials: returns access key, secret key, token and expiry (seconds since the epoch);
                asked again before they expire. By default those of AWS's environment
                variables or of the machine's role.
            limit: requests in flight at most.
            patience: seconds for which an operation puts up with throttling.

        Raises:
            ConfigurationError: an argument that cannot work.
        """
        if limit < 1:
            msg = f"limit must be at least 1, not {limit}; leave it out for 256"
            raise ConfigurationError(msg)
        self._address: Address = make_address(
            bucket, prefix, region=region, endpoint_url=endpoint_url, owner=owner
        )
        self._credentials: Credentials | None = credentials
        self._flow: Flow = Flow(limit, patience, self._connect)
        self._opening: asyncio.Lock | None = None
        self._known: bool = False  # a request was answered: the bucket is there, and its owner's

    @property
    def url(self) -> str:
        """`s3://`, bucket, prefix, region, endpoint and owner; never credentials."""
        return self._address.url

    @property
    def shared(self) -> bool:
        """True: every process with credentials can open it by its URL."""
        return True

    @property
    def remote(self) -> bool:
        """True: other machines can open it by its URL."""
        return True

    @property
    def ephemeral(self) -> bool:
        """False: objects stay until they are deleted."""
        return False

    async def open(self) -> None:
        """Settle what the first request needs: address and clients. No request to the bucket.

        Raises:
            ConfigurationError: no credentials, or settings that cannot work.
        """
        await self._connect()

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> memoryview:
        """Return the object's bytes `[start, end)`; see `ObjectStore.get`."""
        name = self._name(key)
        check_range(start, end)
        if start == end:
            clip_range(key, (await self.head(key)).size, start, end)
            return memoryview(b"")

        async def size_of() -> int:
            return (await self.head(key)).size

        try:
            data = await Reading(self._flow, name, key, size_of).range(start, end)
        except Refused as refused:
            self._fail(refused, f"reading {key!r}", key)
        self._known = True
        return data

    async def put(self, key: str, data: "Data") -> None:
        """Write the object; see `ObjectStore.put`."""
        await self.put_within(key, data, None)

    async def put_within(self, key: str, data: "Data", memory: int | None) -> None:
        """Do the same with copies of so many bytes at most, but 16 MiB in any case."""
        name = self._name(key)
        views = as_views(data)
        try:
            await Writing(self._flow, name).put(views, memory)
        except Refused as refused:
            self._fail(refused, f"writing {key!r}")
        finally:
            _release(views)
        self._known = True

    async def put_if_absent(self, key: str, data: "Data") -> bool:
        """Write the object unless it exists; see `ObjectStore.put_if_absent`."""
        name = self._name(key)
        views = as_views(data)
        try:
            created = await Writing(self._flow, name).create(views)
        except Refused as refused:
            self._fail(refused, f"creating {key!r}")
        finally:
            _release(views)
        self._known = True
        return created

    async def head(self, key: str) -> ObjectInfo:
        """Return the object's size and age; see `ObjectStore.head`."""
        name = self._name(key)
        doing = f"asking for {key!r}"
        try:
            info = await self._head(name)
        except Refused as refused:
            self._fail(await self._reason(refused, name), doing, key)
        self._known = True
        return ObjectInfo(key, info["size"], info["last_modified"])

    async def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        import obstore

        name = self._name(key)
        try:
            await self._flow.run(lambda clients: obstore.delete_async(clients.writes, name))
        except Refused as refused:
            if refused.answer.kind != "absent":
                self._fail(refused, f"deleting {key!r}")
        self._known = True

    async def list(self, prefix: str = "") -> "AsyncIterator[ObjectInfo]":
        """Yield the objects whose key starts with `prefix`; see `ObjectStore.list`."""
        validate_prefix(prefix)
        try:
            await self._see_owner()
            async for info in Listing(self._flow, self._address.base).walk(prefix):
                yield info
        except Refused as refused:
            self._fail(refused, f"listing {prefix!r}")

    async def probe(self) -> None:
        """See that the service decides conditional writes; writes and deletes a small object.

        Raises:
            StorageError: it ignores `If-None-Match`, or the store does not work.
            ConfigurationError: as for any request.
        """
        key = f".probe/{os.urandom(8).hex()}"
        try:
            won = [await self.put_if_absent(key, mark) for mark in (b"first", b"second")]
            found = bytes(await self.get(key))
        finally:
            await self.delete(key)
        if won != [True, False] or found != b"first":
            where = self._address.endpoint_url or "AWS"
            msg = (
                f"the S3 service at {where} does not decide conditional writes (If-None-Match: *), "
                "so two workers could both win; use AWS S3 or a service that does"
            )
            raise StorageError(msg)

    async def aclose(self) -> None:
        """Close the connections. The store may be used again, which opens new ones."""
        clients, self._flow.clients = self._flow.clients, None
        if clients is not None:
            clients.close()

    def __reduce__(self) -> "tuple[Callable[[str], ObjectStore], tuple[str]]":
        # Credentials don't travel: the copy finds its own.
        return (_reopen, (self.url,))

    def __repr__(self) -> str:
        return f"<S3Store {self.url}>"

    async def _settle(self) -> Address:
        """Return the address to use: for stores that learn parts of it only when asked."""
        return self._address

    async def _connect(self) -> Clients:
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._flow.clients is None:
                self._address = await self._settle()
                self._flow.clients = self._make_clients()
            return self._flow.clients

    def _make_clients(self) -> Clients:
        try:
            return Clients(self._address, self._credentials)
        except OSError as error:
            msg = f"AWS_CA_BUNDLE can't be read ({error}); correct or unset it"
            raise ConfigurationError(msg) from error

    def _name(self, key: str) -> str:
        base = self._address.base
        return object_name(base, key) if base else validate_key(key)

    async def _head(self, name: str) -> "ObjectMeta":
        import obstore

        return await self._flow.run(lambda clients: obstore.head_async(clients.reads, name))

    async def _reason(self, refused: Refused, name: str) -> Refused:
        """Return the refusal of a HEAD with its reason: S3 gives none, but does so for a GET."""
        answer = refused.answer
        silent = not answer.code and answer.kind in {"absent", "terminal"}
        if not silent or (answer.kind == "absent" and self._known):
            return refused
        try:
            await Reading(self._flow, name, name, _nothing).range(0, 1)
        except Refused as explained:
            self._known = self._known or explained.answer.kind == "absent"
            return explained
        return refused

    async def _see_owner(self) -> None:
        """Ask for any object before the first listing, whose owner can't be checked.

        obstore does not sign what listings would have to say of the expected owner.
        """
        if self._known or self._address.owner in {None, ANY_OWNER}:
            return
        name = f"{self._address.base}.probe/owner"
        refusal: Refused | None = None
        try:
            await self._head(name)
        except Refused as refused:
            refusal = await self._reason(refused, name)
        if refusal is not None and refusal.answer.kind != "absent":
            raise refusal
        self._known = True

    def _fail(self, refused: Refused, doing: str, key: str | None = None) -> NoReturn:
        """Raise what the user is to see; with a key, absence is `ObjectNotFound`."""
        if key is not None and refused.answer.kind == "absent":
            msg = f"there is no object {key!r} in {self.url}"
            raise ObjectNotFound(msg) from refused.__cause__
        raise explain(refused.answer, doing, self._address) from refused.__cause__


def open_s3(url: str, parts: "SplitResult") -> S3Store:
    """Return the store that an `s3://` URL names.

    Raises:
        ConfigurationError: an unknown option, a password, a part that can't be.
    """
    return _store(parse_address(url, parts))


def _reopen(url: str) -> S3Store:
    from urllib.parse import urlsplit

    return open_s3(url, urlsplit(url))


def _store(address: Address) -> S3Store:
    return S3Store(
        address.bucket,
        address.prefix,
        region=address.region,
        endpoint_url=address.endpoint_url,
        owner=address.owner,
    )


async def _nothing() -> int:
    return 0


def _release(views: "builtins.list[memoryview]") -> None:
    # Not left to the garbage collector: a bytearray cannot grow while a view of it lives.
    for view in views:
        if type(view.obj) is not bytes:
            view.release()
