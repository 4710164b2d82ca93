"""Checks of the bucket: it is ours, it is as private as we made it, it does what is needed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from asyncfabric.aws.deploy._bucket import Bucket
from asyncfabric.aws.deploy._cloud import Refused
from asyncfabric_storage import ObjectNotFound

from ._finding import Finding

if TYPE_CHECKING:
    from asyncfabric.aws.deploy._cloud import Cloud
    from asyncfabric.aws.deploy._policies import Place
    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._s3 import S3Store

_SIZE = 100_000
"""Bytes of the object that is written and read."""


async def check_bucket(cloud: Cloud, place: Place, command: str) -> Finding:
    """Look at the bucket and its settings."""
    bucket = Bucket(cloud, place)
    if not await bucket.exists():
        return Finding("bucket", "failed", f"there is no bucket {place.bucket}", f"run: {command}")
    if not await bucket.is_ours():
        says = f"{place.bucket}; not made by asyncfabric, its settings are its owner's business"
        return Finding("bucket", "ok", says)
    try:
        changed = await bucket.changed()
    except Refused as error:
        if not error.denied:
            raise
        says = f"{place.bucket}; AWS refuses to say how it is set up ({error.code})"
        return Finding("bucket", "unknown", says)
    if changed:
        says = f"{place.bucket} isn't set up as it was made: {', '.join(changed)}"
        return Finding("bucket", "warning", says, f"run: {command}")
    return Finding("bucket", "ok", f"{place.bucket}: private, TLS only, expiring")


async def check_round_trip(store: ObjectStore) -> Finding:
    """Write an object as a driver does, read it, delete it."""
    key, data = f".doctor/{secrets.token_hex(8)}", secrets.token_bytes(_SIZE)
    await store.put(key, data)
    same = bytes(await store.get(key)) == data
    await store.delete(key)
    try:
        await store.head(key)
    except ObjectNotFound:
        gone = True
    else:
        gone = False
    if not (same and gone):
        advice = "use AWS S3, or a service that is consistent"
        return Finding("storage", "failed", "an object isn't what was written", advice)
    return Finding("storage", "ok", "an object was written, read and deleted")


async def check_conditional_writes(store: S3Store) -> Finding:
    """See that the service lets one of two writers win."""
    await store.probe()
    return Finding("conditional writes", "ok", "one of two writers wins")
