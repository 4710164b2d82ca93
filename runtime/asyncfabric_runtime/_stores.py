"""The object stores that this process has opened, by URL, and reading stored values from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from asyncfabric_storage import ConfigurationError, IntegrityError, digest, object_key, open_store

from ._data_reading import BadDataError
from ._packing import unpack_object

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._data_reading import MakeRef

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


async def read_object(
    store: ObjectStore,
    name: str,
    size: int | None = None,
    *,
    as_data: bool = False,
    make_ref: MakeRef | None = None,
) -> Any:  # noqa: ANN401 - the user's value
    """Fetch a stored object by its digest (and size, if that is known), check it, and decode it.

    With `as_data` nothing is unpickled. Raises `ObjectNotFound` and, before anything of it is
    decoded, `IntegrityError`.
    """
    key = object_key(name)
    data = await read_checked(store, key, name, size)
    try:
        return unpack_object(data, as_data=as_data, make_ref=make_ref)
    except BadDataError as error:
        msg = f"object {key} in {store.url} is not what this side reads: {error}"
        raise IntegrityError(msg) from None


async def read_checked(
    store: ObjectStore, key: str, name: str, size: int | None = None
) -> memoryview:
    """Fetch bytes whose digest is known from elsewhere; of a known size, nothing larger is read.

    Raises `IntegrityError`, `StorageError`.
    """
    data = await (store.get(key) if size is None else store.get(key, start=0, end=size + 1))
    # All of it or nothing, and not a word of what was found: whoever asks could have a worker tell
    # him the digests of the beginnings of any object, and learn it byte by byte.
    if (size is not None and len(data) != size) or digest(data) != name:
        msg = (
            f"object {key} in {store.url} holds other bytes than were stored (not those of digest "
            f"{name[:12]}...): it was changed or damaged; delete it, and have it stored again"
        )
        raise IntegrityError(msg)
    return data
