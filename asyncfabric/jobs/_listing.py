"""What there is: names of jobs, how far each is, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from asyncfabric._exceptions import ConfigurationError, ObjectNotFound, StorageError
from asyncfabric_storage import _job_places as places
from asyncfabric_storage._sealed import read_sealed

from ._between import places_of_job
from ._gone import is_gone
from ._inputs import read_ended
from ._job import MAX_FINISHED_BYTES, list_done, read_finished
from ._lease import newest_lease
from ._manifest import MAX_MANIFEST_BYTES, read_manifest
from ._notes import list_notes, read_left

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._indices import Indices
    from ._keys import KeySource


class Summary(NamedTuple):
    """How far a job is.

    Attributes:
        name: the job's.
        begun: when, as ISO 8601 in UTC.
        release: the release of asyncfabric that began it.
        done: inputs that have a result or failed for good.
        total: inputs there are; None while nobody has read them to their end.
        failed: of the done ones, how many failed; None until the job is finished.
        drivers: how many programs have driven it.
        host: where the latest driver ran.
        pid: its process there.
        launched: the latest driver has left all calls to Lambda's events, and isn't needed any
            more.
        noted: calls that failed since, which another launch tries again.
    """

    name: str
    begun: str
    release: str
    done: int
    total: int | None
    failed: int | None
    drivers: int
    host: str
    pid: int
    launched: bool = False
    noted: int = 0

    @property
    def finished(self) -> bool:
        """Whether all inputs are done."""
        return self.failed is not None or self.done == self.total

    @property
    def driver_gone(self) -> bool:
        """Whether it has a driver that ran on this machine and has ended; False if unknown."""
        return self.drivers > 0 and not self.launched and is_gone(self.host, self.pid)


async def job_names(store: ObjectStore) -> list[str]:
    """Return the names of all jobs in a store, sorted: a LIST for each thousand."""
    prefix = f"{places.ROOT}/{places.NAMES}"
    return [info.key[len(prefix) :] async for info in store.list(prefix)]


async def summarize(store: ObjectStore, source: KeySource, name: str) -> Summary:
    """Tell how far a job is: some four GETs, and a LIST for each thousand results.

    Raises:
        ConfigurationError: there is no such job.
        IntegrityError: something of it was changed, or made with another key.
    """
    found = await read_manifest(store, source, name)
    if found is None:
        raise no_such_job(name, store)
    manifest, key = found
    root = manifest.root
    lease = await newest_lease(store, root, key)
    ended = await read_ended(store, root, key)
    indices: Indices | None = None
    try:
        record = await read_sealed(store, root, places.FINISHED, MAX_FINISHED_BYTES)
    except ObjectNotFound:
        failed, indices = None, await list_done(store, root)
        done = len(indices)
    else:
        done, failed = read_finished(record, key)
    launched, noted = False, 0
    if lease is not None and indices is not None:
        launched = await read_left(store, root, key, lease.epoch) is not None
        if launched:
            notes = await list_notes(store, root, lease.epoch)
            noted = sum(at not in indices for at in notes)
    return Summary(
        name,
        manifest.begun,
        manifest.release,
        done,
        None if ended is None else ended.total,
        failed,
        0 if lease is None else lease.epoch,
        "" if lease is None else lease.host,
        0 if lease is None else lease.pid,
        launched,
        noted,
    )


async def discard(store: ObjectStore, name: str) -> int:
    """Forget a job, all its results included; return how many objects were deleted.

    With the first of several stages goes what its workers left for the next one. No key is needed:
    it is the way on from a job whose key is lost, or whose objects were changed. A driver that is
    at work sees it within seconds, and stops. Workers may write a little more afterwards; `collect`
    finds that.

    Raises:
        ConfigurationError: there is no such job.
        StorageError: the store failed; what is left is found by `collect`.
    """
    place = f"{places.NAMES}{places.check_name(name)}"
    manifest = f"{places.ROOT}/{place}"
    try:
        record = await read_sealed(store, places.ROOT, place, MAX_MANIFEST_BYTES)
        root = f"{places.ROOT}/{record.nonce.hex()}/"
    except ObjectNotFound:
        raise no_such_job(name, store) from None
    except StorageError:
        await store.head(manifest)  # if it is the store that failed, nothing is deleted
        root = None
    # The name first: from here on a new job may have it, in an area of its own.
    await store.delete(manifest)
    prefixes = [*([] if root is None else [root]), *places_of_job(name)]
    keys = [info.key for prefix in prefixes async for info in store.list(prefix)]
    return 1 + await store.delete_many(keys)


class NoSuchJob(ConfigurationError):
    """There is no job of this name, or no more."""


def no_such_job(name: str, store: ObjectStore) -> NoSuchJob:
    """Return the error that says so."""
    if store.ephemeral:
        return NoSuchJob(
            f"there is no job {name!r} in {store.url}, which ends with this program; give the "
            "Fabric the storage= that the job was given, or set ASYNCFABRIC_STORAGE to it"
        )
    return NoSuchJob(
        f"there is no job {name!r} in {store.url}; "
        f"`asyncfabric jobs list --storage {store.url!r}` shows what there is"
    )
