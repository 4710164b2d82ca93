"""Listing: pages of a thousand, each asked for by the key that it begins after."""

from typing import TYPE_CHECKING, NamedTuple

from ._protocol import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from obstore import ObjectMeta

    from ._s3_clients import Clients
    from ._s3_flow import Flow

_PAGE = 1000  # S3's own
_LAST = "\U0010fffd"  # after any character that keys are likely to have


class Listing(NamedTuple):
    """The objects below a prefix, in S3's order: that of their names as UTF-8."""

    flow: "Flow"
    base: str
    """What stands before every key."""

    async def walk(self, prefix: str) -> "AsyncIterator[ObjectInfo]":
        """Yield them.

        Raises:
            Refused: S3's answer.
        """
        full = self.base + prefix
        # obstore's prefixes are whole segments.
        folder = full[: full.rfind("/") + 1]
        after = _just_before(full, folder)
        while True:
            page = await self._page(folder, after)
            for meta in page:
                name = meta["path"]
                if name.startswith(full):
                    key = name[len(self.base) :]
                    # To the second, as HEAD tells it.
                    modified = meta["last_modified"].replace(microsecond=0)
                    yield ObjectInfo(key, meta["size"], modified)
                elif name > full:
                    return
            if len(page) < _PAGE:
                return
            after = page[-1]["path"]

    async def _page(self, folder: str, after: str | None) -> "Sequence[ObjectMeta]":
        import obstore

        async def send(clients: "Clients") -> "Sequence[ObjectMeta]":
            pages = obstore.list(  # pyright: ignore[reportUnknownMemberType]
                clients.lists, folder or None, offset=after, chunk_size=_PAGE
            )
            try:
                async for page in pages:
                    return page
            finally:
                # The error that ends an iteration refers to this frame, and obstore to the error
                # until it is called again: see Clients.close.
                del pages
            return []

        return await self.flow.run(send)


def _just_before(full: str, folder: str) -> str | None:
    """A name after which to begin, so that what cannot match is not listed.

    None if the folder's beginning is as good. Names between this one and the first that matches
    are possible, and filtered out.
    """
    rest = full[len(folder) :]
    if not rest:
        return None
    previous = chr(ord(rest[-1]) - 1)
    if previous == "/":
        previous = "."
    if not previous.isprintable():
        return None
    return f"{folder}{rest[:-1]}{previous}{_LAST}"
