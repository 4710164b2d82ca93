"""A job, as its driver holds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import ConfigurationError, IntegrityError, StorageError
from asyncfabric_storage import _job_places as places
from asyncfabric_storage import digest
from asyncfabric_storage._commits import Attempt, create
from asyncfabric_storage._sealed import FINISHED, NONCE_BYTES, check_fields, parse, seal

from . import _lease
from ._indices import Indices
from ._inputs import Inputs
from ._keys import job_key
from ._manifest import MAX_MANIFEST_BYTES, Code, Manifest, Terms, opened, read_manifest
from ._notes import leave
from ._results import Committed, Failed, read_payload, read_result
from ._results import opened as opened_result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from asyncfabric_storage import ObjectStore
    from asyncfabric_storage._sealed import Sealed

    from ._keys import JobKey, KeySource
    from ._lease import Lease

MAX_FINISHED_BYTES = 4096
_FINISHED_FIELDS: dict[str, type] = {"failed": int, "total": int}


class Job:
    """A job that this process drives.

    Attributes:
        manifest: what it was begun with.
        lease: this driver's right to drive it.
        done: the inputs that have a result or failed for good.
        inputs: the digests of its inputs.
        resumed: an earlier driver began it.
    """

    def __init__(self, store: ObjectStore, manifest: Manifest, key: JobKey, lease: Lease) -> None:
        self.manifest = manifest
        self.lease = lease
        self.done = Indices()
        self.inputs = Inputs(store, manifest, key)
        self.resumed = False
        self._store = store
        self._key = key

    @property
    def root(self) -> str:
        """Where its objects are in the store."""
        return self.manifest.root

    @property
    def store_url(self) -> str:
        """URL of the store it is in."""
        return self._store.url

    def attempt(self, index: int, number: int, nonce: bytes, subject: bytes) -> Attempt:
        """Return an attempt at an input, for the worker that makes it.

        Args:
            index: which input.
            number: 1 for the first attempt.
            nonce: 16 random bytes of the invocation; calls in one invocation may share them.
            subject: the input's digest.
        """
        token = self._key.token(nonce, index, number, subject)
        return Attempt(self.manifest.area, index, number, nonce, subject, token)

    def token(self, nonce: bytes, index: int, number: int, subject: bytes) -> bytes:
        """Return what an attempt seals its result with; see `attempt`."""
        return self._key.token(nonce, index, number, subject)

    async def payload(self, result: Committed) -> memoryview:
        """Return a result's bytes. Raises `IntegrityError`, `StorageError`."""
        return await read_payload(self._store, self.root, result)

    async def code(self, name: str) -> memoryview:
        """Return stored code of the job: its function, initializer or archive, by digest.

        Raises:
            IntegrityError: it was changed, or is gone.
        """
        return await read_code(self._store, self.root, name)

    async def result(self, index: int, subject: bytes) -> Committed:
        """Return what an input has come to, verified: one GET.

        Raises:
            ObjectNotFound: nothing yet.
            ConfigurationError: the input is another than the one that was run.
            IntegrityError: what is there was not written by this job for this input.
        """
        found = await read_result(self._store, self.root, self._key, index)
        self._check_subject(found, subject)
        self.done.add(index)
        return found

    async def fail(self, index: int, number: int, subject: bytes, failed: Failed) -> Committed:
        """Make a failure what the input has come to, and return that: another's, if it was first.

        The failure's `epoch` is set here.

        Raises:
            ConfigurationError, IntegrityError, StorageError: as `result`.
        """
        mine = failed._replace(epoch=self.lease.epoch).sealed(self._key, index, number, subject)
        commit = await create(self._store, self.root, mine)
        found = opened_result(commit.record, index, self._key)
        self._check_subject(found, subject)
        self.done.add(index)
        return found

    async def check(self) -> None:
        """Look whether this driver still drives the job: a LIST and two GETs.

        Raises:
            TakenOver: it does not; launch nothing more.
            IntegrityError: a lease or the manifest was forged.
        """
        await _lease.check(self._store, self.manifest, self._key, self.lease)

    async def finish(self, total: int, failed: int) -> None:
        """Note that all inputs are done. To be called when they are, after `inputs.end()`."""
        mine = _finished(self._key, total, failed)
        await create(self._store, self.root, mine, most=MAX_FINISHED_BYTES)

    async def leave(self, calls: int) -> None:
        """Note that all calls without a result, so many, were left to events."""
        await leave(self._store, self.root, self._key, self.lease.epoch, calls)

    def _check_subject(self, found: Committed, subject: bytes) -> None:
        if found.subject != subject:
            name = self.manifest.name
            raise ConfigurationError(
                f"the inputs of job {name!r} are not those that it was begun with: input "
                f"{found.at:,} is another one. Give the same inputs in the same order, or the job "
                f"another name, or forget what is done: asyncfabric jobs discard {name}"
            )

    def __repr__(self) -> str:
        return f"<Job {self.manifest.name!r}, driver {self.lease.epoch}, {len(self.done)} done>"


class Wanted(NamedTuple):
    """What a program wants to run as a job.

    Attributes:
        name: the job's.
        terms: what it must have been begun with, if it was begun.
        code: by digest what the workers run, if it is begun now.
        objects: the bytes of `code`, by digest.
        release: of asyncfabric.
    """

    name: str
    terms: Terms
    code: Code
    objects: Mapping[str, bytes]
    release: str


async def open_job(store: ObjectStore, source: KeySource, wanted: Wanted) -> Job:
    """Begin a job, or go on with it: take it over from whoever drives it.

    Raises:
        ConfigurationError: it was begun with another program, or the store is not for jobs.
        IntegrityError: the manifest, or a lease, was changed, or made with another key.
        StorageError: the store failed.
    """
    places.check_name(wanted.name)
    if store.ephemeral and store.shared:
        raise ConfigurationError(
            "a job is to outlive this process, and the store of this Fabric does not: give the "
            "Fabric storage='file:///a/directory' or 's3://bucket/prefix'"
        )
    found = await read_manifest(store, source, wanted.name)
    resumed = found is not None
    if found is None:
        found, resumed = await _begin(store, source, wanted)
    manifest, key = found
    if resumed:
        manifest.check(wanted.terms)
    lease = await _lease.take_over(store, manifest, key)
    job = Job(store, manifest, key, lease)
    # Our own manifest may be old by now: the answer took its time, and others have read it.
    job.resumed = resumed or lease.epoch > 1
    if job.resumed:
        await job.inputs.load()
        job.done = await list_done(store, manifest.root)
        job.inputs.least = max(job.inputs.least, job.done.end)
    return job


async def _begin(
    store: ObjectStore, source: KeySource, wanted: Wanted
) -> tuple[tuple[Manifest, JobKey], bool]:
    """Write code and manifest. Another program may be first: then its manifest counts."""
    area = os.urandom(NONCE_BYTES).hex()
    seed = wanted.terms.seed
    manifest = Manifest(
        wanted.name,
        area,
        wanted.terms,
        wanted.code,
        int.from_bytes(os.urandom(16)) if seed is None else seed,
        wanted.release,
        datetime.now(UTC).isoformat(timespec="seconds"),
    )
    key = await job_key(source, wanted.name, area)
    mine = manifest.sealed(key)
    # The manifest last: where there is one, there is all that it names.
    for name, data in wanted.objects.items():
        await store.put(f"{manifest.root}/{places.CODE}{name}", data)
    commit = await create(store, places.ROOT, mine, most=MAX_MANIFEST_BYTES)
    if commit.verdict == "won":
        return (manifest, key), False
    for name in wanted.objects:
        with contextlib.suppress(StorageError):  # else it is left to gc
            await store.delete(f"{manifest.root}/{places.CODE}{name}")
    theirs = await job_key(source, wanted.name, commit.record.nonce.hex())
    return (opened(commit.record, wanted.name, theirs), theirs), True


async def list_done(store: ObjectStore, root: str) -> Indices:
    """Return the inputs that have a result: a LIST for each thousand."""
    prefix = f"{root}/"
    found = Indices()
    async for info in store.list(f"{prefix}{places.DONE}"):
        index = places.number_in(info.key[len(prefix) :], places.DONE)
        if index is not None:
            found.add(index)
    return found


async def read_code(store: ObjectStore, root: str, name: str) -> memoryview:
    """Return stored code by the digest that the manifest names. Raises `IntegrityError`."""
    key = f"{root}/{places.CODE}{name}"
    data = await store.get(key)
    if await asyncio.to_thread(digest, data) != name:
        raise IntegrityError(
            f"the code of a job is not what was stored ({key}): it was changed or damaged; discard "
            "the job"
        )
    return data


def _finished(key: JobKey, total: int, failed: int) -> Sealed:
    head: dict[str, Any] = {"total": total, "failed": failed}
    body = seal(key.driver, places.FINISHED, FINISHED, head, nonce=bytes(NONCE_BYTES))
    return parse(places.FINISHED, body)


def read_finished(record: Sealed, key: JobKey) -> tuple[int, int]:
    """Return how many inputs a finished job had, and how many failed. Raises `IntegrityError`."""
    head, payload = record.open(key.driver)
    check_fields(record.place, head, _FINISHED_FIELDS)
    if record.kind != FINISHED or payload:
        raise IntegrityError(f"the object {record.place} of a job makes no sense; discard the job")
    return head["total"], head["failed"]
