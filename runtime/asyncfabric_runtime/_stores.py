"""The object stores that this process has opened, by URL, and reading stored values from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from asyncfabric_storage import ConfigurationError, IntegrityError, digest, object_key, open_store

from ._packing import unpack_object

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

_stores: dict[str, ObjectStore] = {}
_lent: WeakSet[ObjectStore] = WeakSet()


def lend(store: ObjectStore) -> None:
    """Have this process use a store, with the credentials it has, wherever its URL is met."""
    _lent.add(store)


def take_back(store: ObjectStore) -> None:
    """Know that a store is about to be closed."""
    _lent.discard(store)


def open_shared_store(url: str | None) -> ObjectStore:
    """Open a store once per process. Raises `ConfigurationError` without a URL."""
    if url is None:
        msg = (
            "this call has no object store: driver and worker share none; "
            "give the Fabric storage='file:///a/directory'"
        )
        raise ConfigurationError(msg)
    for store in _lent:
        if store.url == url:
            return store
    if url not in _stores:
        _stores[url] = open_store(url)
    return _stores[url]


async def read_object(store: ObjectStore, name: str) -> Any:  # noqa: ANN401 - the user's value
    """Fetch a stored object by its digest, check it, and decode it.

    Raises `ObjectNotFound` and, before anything of it is decoded, `IntegrityError`.
    """
    return unpack_object(await read_checked(store, object_key(name), name))


async def read_checked(store: ObjectStore, key: str, name: str) -> memoryview:
    """Fetch bytes whose digest is known from elsewhere. Raises `IntegrityError`, `StorageError`."""
    data = await store.get(key)
    found = digest(data)
    if found != name:
        msg = (
            f"object {key} in {store.url} holds other bytes than were stored (digest "
            f"{found[:12]}..., not {name[:12]}...): it was changed or damaged; delete it, and have "
            "it stored again"
        )
        raise IntegrityError(msg)
    return data
