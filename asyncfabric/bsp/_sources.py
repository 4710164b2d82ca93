"""The objects that a user names: all below a URL, or each by its own."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from asyncfabric._exceptions import ConfigurationError, ObjectNotFound
from asyncfabric_runtime._bsp._inflate import SUFFIXES, check_codec
from asyncfabric_runtime._bsp._piece import Piece
from asyncfabric_runtime._context import in_worker
from asyncfabric_storage import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from asyncfabric_storage import ObjectInfo, ObjectStore

_ASKED_AT_ONCE = 64


async def listed(url: str) -> AsyncGenerator[Piece]:
    """Yield the objects below a URL in the order of their keys, or the one that it names.

    Raises:
        ObjectNotFound: there is nothing.
        ConfigurationError: it is no URL.
    """
    found = 0
    if not _is_file(url):
        async with aclosing(_below(url)) as pieces:
            async for piece in pieces:
                found += 1
                yield piece
    if found:
        return
    if not urlsplit(url).path.strip("/"):
        raise ObjectNotFound(_nothing(url))
    async with aclosing(named([url])) as pieces:
        try:
            yield await anext(pieces)
        except ObjectNotFound:
            raise ObjectNotFound(_nothing(url)) from None


async def named(urls: Sequence[str]) -> AsyncGenerator[Piece]:
    """Yield the objects with these URLs, in this order; their sizes are asked, 64 at once.

    Raises:
        ObjectNotFound: one of them is not there.
        ConfigurationError: one of them is no URL of an object.
    """
    stores: dict[str, ObjectStore] = {}
    asked: deque[asyncio.Task[Piece]] = deque()
    left = iter(urls)
    try:
        while True:
            for url in islice(left, _ASKED_AT_ONCE - len(asked)):
                asked.append(asyncio.ensure_future(_named(url, stores)))
            if not asked:
                return
            yield await asked.popleft()
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        for store in stores.values():
            await close(store)


async def _below(url: str) -> AsyncGenerator[Piece]:
    store = open_source(url)
    try:
        await store.open()
        async for info in store.list():
            yield _piece(store, info)
    finally:
        await close(store)


async def _named(url: str, stores: dict[str, ObjectStore]) -> Piece:
    parent, key = _split(url)
    store = stores.get(parent)
    if store is None:
        store = stores[parent] = open_source(parent)
    await store.open()
    return _piece(store, await store.head(key))


def _piece(store: ObjectStore, info: ObjectInfo) -> Piece:
    codec = SUFFIXES.get(os.path.splitext(info.key)[1].lower(), "")  # noqa: PTH122 - a key, no path
    check_codec(codec)
    return Piece(store.url, info.key, 0, info.size, info.size, codec)


def open_source(url: str) -> ObjectStore:
    """Open a store of the user's, with the credentials that the driver has."""
    if url.lower().startswith("s3://") and not in_worker():
        from asyncfabric.aws._s3 import open_s3_store  # with the driver's credentials

        return open_s3_store(url)
    return open_store(url)


async def close(store: ObjectStore) -> None:
    """Close what `open_source` opened."""
    if not store.url.startswith("memory://"):  # which others use, too
        await store.aclose()


def _is_file(url: str) -> bool:
    parts = _parts(url)
    return parts.scheme == "file" and os.path.isfile(unquote(parts.path))  # noqa: PTH113


def _split(url: str) -> tuple[str, str]:
    """Split an object's URL into that of a store and a key in it."""
    parts = _parts(url)
    path = unquote(parts.path)
    if parts.scheme == "file":
        path = os.path.realpath(path)  # stores don't follow links
    folder, _, key = path.rpartition("/")
    if not key:
        msg = f"{url!r} names no object; write for example 's3://bucket/some/key'"
        raise ConfigurationError(msg)
    if parts.scheme == "memory":
        folder, key = "", path.lstrip("/")
    return parts._replace(
        path=quote(folder or ("/" if parts.scheme == "file" else ""))
    ).geturl(), key


def _parts(url: str) -> SplitResult:
    if "://" not in str(url):
        raise ConfigurationError(no_url(url))
    return urlsplit(url)


def no_url(given: object) -> str:
    """Say what to give as a source."""
    advice = (
        f"{given.absolute().as_uri()!r}"
        if isinstance(given, Path)
        else "'s3://bucket/prefix', 'file:///some/dir', or a list of the URLs of objects"
    )
    return f"{given!r:.80} is no URL; give chunks() {advice}"


def _nothing(url: str) -> str:
    return f"there are no objects below {url}, nor is there one of this name; check the URL"
