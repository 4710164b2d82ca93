"""Where jobs are: the store that a user names by its URL, or by itself, or by a Fabric."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias, Union

from asyncfabric._exceptions import ConfigurationError
from asyncfabric_storage import ObjectStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from asyncfabric._fabric import Fabric

Where: TypeAlias = Union["Fabric", ObjectStore, str]
"""A Fabric, a store, or the URL of one."""


def store_of(where: Where) -> tuple[ObjectStore, bool]:
    """Return the store, and whether it was opened here and so has to be closed here.

    Raises:
        ConfigurationError: this is no store, nor anything that has one.
    """
    if isinstance(where, ObjectStore):
        return where, False
    if isinstance(where, str):
        if where.lower().startswith("s3://"):
            from asyncfabric.aws._s3 import open_s3_store  # 10 ms that other stores don't need

            return open_s3_store(where), True
        return open_store(where), True
    store = getattr(where, "store", None)
    if isinstance(store, ObjectStore):
        return store, False
    raise ConfigurationError(
        f"jobs are found by a Fabric, by a store or by the URL of one, not by a "
        f"{type(where).__name__}; give for example 's3://bucket/prefix'"
    )


@asynccontextmanager
async def lent(where: Where) -> AsyncGenerator[ObjectStore]:
    """Have the store for a while. Raises as `store_of` does."""
    store, own = store_of(where)
    try:
        yield store
    finally:
        if own:
            await store.aclose()


def takes_data_only(where: Where) -> bool:
    """Tell whether a Fabric takes data only; a store says nothing of it, its jobs do."""
    return bool(getattr(getattr(where, "_core", None), "takes_data_only", False))
