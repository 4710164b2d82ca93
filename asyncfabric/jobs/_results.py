"""Results and failures of a job, read back: verified first, and never unpickled here."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from asyncfabric._exceptions import IntegrityError, ObjectNotFound
from asyncfabric_storage import _job_places as places
from asyncfabric_storage import digest
from asyncfabric_storage._commits import MAX_RECORD_BYTES, RESULT_FIELDS, data_place
from asyncfabric_storage._sealed import (
    DONE,
    FAILED,
    NONCE_BYTES,
    Sealed,
    check_fields,
    parse,
    read_sealed,
    seal,
)

if TYPE_CHECKING:
    from asyncfabric_storage import ObjectStore

    from ._keys import JobKey

LONGEST_TEXT = 32 * 1024
"""Characters of a failure's message and of its traceback."""
MOST_PICKLED = 64 * 1024
"""Bytes of a pickled exception; a larger one is told by its text alone."""

MAX_RESULT_BYTES = 1 << 43
"""8 TiB: what a store can keep in one object, about."""

_HEAVY = 1024 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_EXECUTION = re.compile(r"[0-9a-f]{32}\Z")
_FAILURE_FIELDS: dict[str, type] = {
    "epoch": int,
    "kind": str,
    "message": str,
    "traceback": str,
    "type": str,
}


class Failed(NamedTuple):
    """Why a call failed for good, as its driver wrote it.

    Attributes:
        kind: as in `asyncfabric_runtime.Failure`.
        type_name: the exception's type.
        message: its text.
        traceback: the traceback as text.
        pickled: the exception itself, empty where it can't be pickled. It came from a worker
            of the job and was sealed by its driver.
        epoch: of the driver's lease.
    """

    kind: str
    type_name: str
    message: str
    traceback: str
    pickled: bytes
    epoch: int

    def sealed(self, key: JobKey, index: int, number: int, subject: bytes) -> Sealed:
        """Return the record for an input."""
        place = places.done(index)
        head = {
            "epoch": self.epoch,
            "kind": self.kind,
            "message": self.message[:LONGEST_TEXT],
            "traceback": self.traceback[-LONGEST_TEXT:],
            "type": self.type_name[:LONGEST_TEXT],
        }
        pickled = self.pickled if len(self.pickled) <= MOST_PICKLED else b""
        body = seal(
            key.driver,
            place,
            FAILED,
            head,
            pickled,
            nonce=bytes(NONCE_BYTES),
            subject=subject,
            index=index,
            number=number,
        )
        return parse(place, body)


class Committed(NamedTuple):
    """What an input has come to, verified.

    Attributes:
        at: which input.
        number: the attempt that did it.
        subject: the input's digest.
        codec: how the payload is to be read; empty for a failure.
        size: the payload's bytes.
        digest: SHA-256 of a payload that is stored apart, else empty.
        execution: a random name of the execution.
        payload: the payload where it rides in the record.
        failed: why it failed, if it did.
        place: where a payload lies that is stored apart, below the job; else empty.
    """

    at: int
    number: int
    subject: bytes
    codec: str
    size: int
    digest: str
    execution: str
    payload: memoryview
    failed: Failed | None = None
    place: str = ""


async def read_result(store: ObjectStore, root: str, key: JobKey, index: int) -> Committed:
    """Read and verify what an input has come to: one GET.

    Raises:
        ObjectNotFound: nothing yet.
        IntegrityError: it was changed, or belongs to another input or job.
        StorageError: the store failed.
    """
    record = await read_sealed(store, root, places.done(index), MAX_RECORD_BYTES)
    return opened(record, index, key)


def opened(record: Sealed, index: int, key: JobKey) -> Committed:
    """Verify and read the record of an input. Raises `IntegrityError`."""
    if record.kind == FAILED:
        head, payload = record.open(key.driver)
        check_fields(record.place, head, _FAILURE_FIELDS)
        fields: Any = head
        failed = Failed(
            fields["kind"],
            fields["type"],
            fields["message"],
            fields["traceback"],
            bytes(payload),
            fields["epoch"],
        )
        result = Committed(
            index, record.number, record.subject, "", 0, "", "", memoryview(b""), failed
        )
    elif record.kind == DONE:
        token = key.token_of(record)
        head, payload = record.open(token)
        check_fields(record.place, head, RESULT_FIELDS)
        result = Committed(
            index,
            record.number,
            record.subject,
            head["codec"],
            head["size"],
            head["digest"],
            head["execution"],
            payload,
        )
        _check_payload(record.place, result)
        if result.digest:
            result = result._replace(place=data_place(token, index, result.execution))
    else:
        raise IntegrityError(f"the object {record.place} of a job is no result; discard the job")
    if record.index != index:
        raise IntegrityError(f"the object {record.place} of a job is of another input")
    return result


def _check_payload(place: str, result: Committed) -> None:
    inline = not result.digest
    fits = result.size == len(result.payload) if inline else not result.payload
    spelt = (inline or _DIGEST.match(result.digest)) and _EXECUTION.match(result.execution)
    if not (fits and spelt and 0 <= result.size <= MAX_RESULT_BYTES):
        raise IntegrityError(f"the object {place} of a job makes no sense: its worker was another")


async def read_payload(store: ObjectStore, root: str, result: Committed) -> memoryview:
    """Return a result's bytes: as they are, or fetched and their digest checked.

    Raises:
        IntegrityError: they were changed, or are gone.
        StorageError: the store failed.
    """
    if not result.digest:
        return result.payload
    key = f"{root}/{result.place}"
    try:
        data = await store.get(key, start=0, end=result.size + 1)
    except ObjectNotFound as error:
        raise IntegrityError(
            f"the result of input {result.at} is recorded, but its data is gone ({key}): something "
            "deleted it; discard the job"
        ) from error
    if len(data) == result.size:
        found = digest(data) if len(data) < _HEAVY else await asyncio.to_thread(digest, data)
        if found == result.digest:
            return data
    raise IntegrityError(
        f"the data of input {result.at}'s result is not what was written ({key}): it was changed "
        "or damaged; discard the job"
    )
