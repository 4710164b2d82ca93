"""Who drives a job. No clock has a part in it: whoever comes takes over, and the older one stops.

Each driver creates `lease/{n+1}` above the newest there is. Creating is conditional, so every
number has one driver. The one with the newest lease drives; any other stops when it looks. What an
older one does before it looks harms nothing: results and failures are created under the input's own
key, whoever does it.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import FabricError, IntegrityError, ObjectNotFound
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._commits import create
from asyncfabric_storage._sealed import (
    LEASE,
    NONCE_BYTES,
    Sealed,
    check_fields,
    parse,
    read_sealed,
    seal,
)

from ._manifest import MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._keys import JobKey
    from ._manifest import Manifest

MAX_LEASE_BYTES = 4096
_LONGEST_HOST = 255
_FIELDS: dict[str, type] = {"host": str, "pid": int}
_TRIES = 1000


class TakenOver(FabricError):
    """Another driver has taken a job over, or it was discarded; this one has stopped."""


class Lease(NamedTuple):
    """A driver's right to drive a job.

    Attributes:
        epoch: its number; the newest one drives.
        driver: 16 random bytes.
        host: where it runs, for people.
        pid: its process there.
    """

    epoch: int
    driver: bytes
    host: str
    pid: int

    def sealed(self, key: JobKey) -> Sealed:
        """Return the record."""
        place = places.lease(self.epoch)
        head = {"host": self.host[:_LONGEST_HOST], "pid": self.pid}
        body = seal(key.driver, place, LEASE, head, nonce=self.driver, index=self.epoch)
        return parse(place, body)


async def take_over(store: ObjectStore, manifest: Manifest, key: JobKey) -> Lease:
    """Become the job's driver, at once.

    Raises:
        IntegrityError: the newest lease is forged.
        StorageError: the store failed.
    """
    lease = Lease(0, os.urandom(NONCE_BYTES), socket.gethostname(), os.getpid())
    for _ in range(_TRIES):
        newest = await newest_lease(store, manifest.root, key)
        lease = lease._replace(epoch=1 if newest is None else newest.epoch + 1)
        commit = await create(store, manifest.root, lease.sealed(key), most=MAX_LEASE_BYTES)
        if commit.verdict == "won":
            return lease
        # Somebody else took this number just now; whoever is last has it.
    raise TakenOver(f"job {manifest.name!r} is taken over again and again; stop the other drivers")


async def newest_lease(store: ObjectStore, root: str, key: JobKey) -> Lease | None:
    """Return the newest lease, verified; None if there is none. Raises `IntegrityError`."""
    while True:
        epochs = await epochs_of(store, root)
        if not epochs:
            return None
        place = places.lease(epochs[-1])
        try:
            record = await read_sealed(store, root, place, MAX_LEASE_BYTES)
        except ObjectNotFound:
            continue  # the job is being discarded: look again
        head, payload = record.open(key.driver)
        check_fields(place, head, _FIELDS)
        if payload or record.kind != LEASE or record.index != epochs[-1]:
            raise IntegrityError(f"the object {place} of a job makes no sense; discard the job")
        return Lease(record.index, record.nonce, head["host"], head["pid"])


async def epochs_of(store: ObjectStore, root: str) -> list[int]:
    """Return the numbers of all leases, in order. One LIST."""
    prefix = f"{root}/"
    found = [
        places.number_in(info.key[len(prefix) :], places.LEASE)
        async for info in store.list(f"{prefix}{places.LEASE}")
    ]
    return sorted(epoch for epoch in found if epoch is not None)


async def check(store: ObjectStore, manifest: Manifest, key: JobKey, mine: Lease) -> None:
    """Look whether this driver still drives the job: a LIST and a GET.

    Raises:
        TakenOver: a newer driver does, or the job was discarded.
        IntegrityError: a lease or the manifest was forged.
    """
    newest = await newest_lease(store, manifest.root, key)
    if newest is not None and newest.epoch > mine.epoch:
        raise TakenOver(
            f"process {newest.pid} on {newest.host} has taken over job {manifest.name!r}; this one "
            "has stopped, and what it finished is kept: one program drives a job at a time, others "
            "follow it by asyncfabric.jobs.attach"
        )
    try:
        record = await read_sealed(store, places.ROOT, manifest.place, MAX_MANIFEST_BYTES)
    except ObjectNotFound:
        record = None
    if newest is None or record is None or record.nonce.hex() != manifest.area:
        raise TakenOver(
            f"job {manifest.name!r} was discarded while it ran; run the program again to begin anew"
        )
